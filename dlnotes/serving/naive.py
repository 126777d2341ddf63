"""The first service that comes to mind: `model.predict` for each request. For comparison only."""

import json
import os
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from dlnotes.runtime import quiet_start


class NaiveHandler(BaseHTTPRequestHandler):
    """Answers a request for predictions of pictures, each in its own thread, as Flask does.

    It believes what it is sent: whatever is wrong with a request breaks off the connection.
    """

    protocol_version, wbufsize = ("HTTP/1.1", -1)

    def do_POST(self) -> None:
        """Compute the rows of one request, and nothing else."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        pictures = np.array(json.loads(body)["instances"], "float32") / 255
        answer = self.server.predict(pictures)
        content = json.dumps({"predictions": answer.tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class NaiveServer(ThreadingHTTPServer):
    """Keeps the model for the handlers, and lets as many clients knock as a real server does.

    Args:
        predict: From pictures, (B, H, W, C), from 0 to 1, to their answers, (B, K).
    """

    daemon_threads, request_queue_size = True, 2048

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(("127.0.0.1", 0), NaiveHandler)
        self.predict = predict


def serve_naively(path: str | os.PathLike[str], *, say: Callable[..., Any]) -> None:
    """Serve a model of pictures on a free port, until Ctrl-C.

    Args:
        path: A ``.keras`` file, or an ``.onnx`` file for the same by ONNX Runtime, one thread.
        say: Called with "listening" and the `address`, then with "ready".

    Raises:
        Exception: What Keras or ONNX Runtime says of a file that it cannot open.
    """
    by_onnx = os.fspath(path).endswith(".onnx")
    predict, shape = (_by_onnx if by_onnx else _by_keras)(os.fspath(path))
    with NaiveServer(predict) as server:
        say("listening", address=f"http://127.0.0.1:{server.server_address[1]}")
        predict(np.zeros((1, *shape), "float32"))
        say("ready")
        server.serve_forever()


def _by_keras(path: str) -> tuple[Any, Sequence[int]]:
    with quiet_start():
        import keras
    model = keras.saving.load_model(path, safe_mode=True)
    return lambda pictures: model.predict(pictures, verbose=0), model.input_shape[1:]


def _by_onnx(path: str) -> tuple[Any, Sequence[int]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [entry] = session.get_inputs()
    return lambda pictures: session.run(None, {entry.name: pictures})[0], entry.shape[1:]
