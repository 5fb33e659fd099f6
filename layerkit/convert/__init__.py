"""Caffe in and out; ONNX, in `onnx`.

prototxt -> prototxt (syntax) -> schema (types, by `caffe_fields.txt`) -> old (V0, V1, inputs) -> layers -> net, solver
-> emit (YAML); caffemodel -> binary (a lost prototxt) and weights. Back: caffe_layers -> proto_text, and caffemodel.
`caffe_in` and `caffe_out` put it together; what they have to say is a `Report`.
"""
