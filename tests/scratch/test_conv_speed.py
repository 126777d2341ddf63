from benchmarks.conv2d import measure


def test_strided_views_take_at_most_20_times_the_time_of_keras():
    timings = measure(repeats=9)
    assert timings["strided views"].forward < 20 * timings["Keras"].forward
    assert timings["strided views"].backward < 20 * timings["Keras"].backward
