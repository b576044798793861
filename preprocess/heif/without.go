//go:build !cgo || !unix

package heif

// Available tells whether there is a libheif, without which HEIC is not taken.
func Available() bool { return false }

func decodeSystem([]byte, int) (Picture, error) { return Picture{}, errNoLibrary }
