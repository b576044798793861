//go:build unix

package staging

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock locks a folder until it is closed, or its process ends in whatever way.
func lock(folder *os.File, wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	return unix.Flock(int(folder.Fd()), how)
}
