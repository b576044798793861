package detection

import "github.com/lexicam/lexicrop/modelrepo"

// Corners makes boxes [N,4] of any format x1, y1, x2, y2 in pixels of the network's input of
// width x height, in place.
func Corners(boxes []float32, format modelrepo.BoxFormat, width, height int) {
	w, h := float32(1), float32(1)
	if format.Units == modelrepo.BoxRelative {
		w, h = float32(width), float32(height)
	}
	for b := boxes; len(b) >= 4; b = b[4:] {
		switch format.Order {
		case modelrepo.BoxYXYX:
			b[0], b[1], b[2], b[3] = b[1], b[0], b[3], b[2]
		case modelrepo.BoxCXCYWH:
			b[0], b[1], b[2], b[3] = b[0]-b[2]/2, b[1]-b[3]/2, b[0]+b[2]/2, b[1]+b[3]/2
		case modelrepo.BoxXYWH:
			b[2], b[3] = b[0]+b[2], b[1]+b[3]
		}
		b[0], b[1], b[2], b[3] = b[0]*w, b[1]*h, b[2]*w, b[3]*h
	}
}
