package helm_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// program is a process of a test and its children, which end with the test in whatever way it ends.
type program struct {
	*exec.Cmd
	ended chan struct{}
	err   error // how it ended; after ended
}

// startProgram starts cmd with its output in a file; the log of a failed test ends with what it said last.
func startProgram(t *testing.T, cmd *exec.Cmd, name, logFile string) *program {
	t.Helper()
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	p := &program{Cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.ended)
		// The parent whose death kills it is this thread.
		runtime.LockOSThread()
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		log.Close()
		if text, err := os.ReadFile(logFile); err == nil && t.Failed() {
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			t.Logf("%s said last:\n%s", name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	})
	return p
}

func (p *program) kill() {
	// The one error that occurs is that none of the group is left.
	_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
	<-p.ended
}
