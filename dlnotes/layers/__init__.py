"""Custom Keras layers, one a file."""

__all__: list[str] = []
