"""Model graphs in protobuf: their messages by schema, and what ONNX and TensorFlow operators do."""
