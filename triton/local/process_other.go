//go:build !linux

package local

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// process exists on Linux only; elsewhere reservePort says so at the start.
type process struct {
	began  time.Time
	exited context.Context
}

var errPlatform = errors.New("a local Triton runs on Linux x86-64 only: use the address of one elsewhere")

func startProcess(string, []string, *slog.Logger) (*process, error) { return nil, errPlatform }
func (p *process) terminate(context.Context)                        {}
func (p *process) lostChild() bool                                  { return false }
func (p *process) kill()                                            {}
func (p *process) explain(err error) error                          { return err }

type reservedPort struct{ number int }

func reservePort(int) (*reservedPort, error) { return nil, errPlatform }
func (p *reservedPort) release()             {}
