package modelrepo

import _ "embed" // for the file below

//go:embed models/detector/1/model.py
var pythonModel []byte

// PythonModel returns the text of 1/model.py, the same for every model: it has the Python backend run
// the model.onnx beside it by OpenVINO or ONNX Runtime.
func PythonModel() []byte { return append([]byte(nil), pythonModel...) }
