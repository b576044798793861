package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one run of tritonserver with the Python processes below it, which
// form one process group.
type process struct {
	command *exec.Cmd
	began   time.Time
	log     *logReader
	// exited is done when the whole group is gone.
	exited context.Context
	err    error // how it ended; after exited
}

// startProcess starts tritonserver. When this process dies, in whatever way, it
// dies too, and so do its Python processes.
func startProcess(path string, arguments []string, log *slog.Logger) (*process, error) {
	// The Python backend names its shared memory by this, so that what a killed
	// process leaves behind can be told from other Tritons' memory.
	memory := fmt.Sprintf("lexicrop_triton_%d_%d_", os.Getpid(), time.Now().UnixNano())
	output, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	//nolint:noctx // it ends by terminate and kill
	command := exec.Command(path, append(arguments, "--backend-config=python,shm-region-prefix-name="+memory)...)
	command.Stdout, command.Stderr = input, input
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	p := &process{command: command, began: time.Now(), log: newLogReader(log)}
	exited, markExited := context.WithCancel(context.Background())
	p.exited = exited
	started := make(chan error)
	go func() {
		defer markExited()
		// The kernel sends Pdeathsig when the thread that started the child
		// ends, so that thread must stay.
		runtime.LockOSThread()
		err := command.Start()
		input.Close()
		started <- err
		if err != nil {
			output.Close()
			return
		}
		forget := guard(command.Process.Pid, memory, log)
		logged := make(chan struct{})
		go func() {
			defer close(logged)
			defer output.Close()
			p.log.readAll(output)
		}()
		// Until it is waited for, its id cannot belong to another group.
		awaitExit(command.Process.Pid)
		p.signalGroup(syscall.SIGKILL)
		p.err = command.Wait()
		<-logged
		removeSharedMemory(memory)
		forget()
	}()
	return p, <-started
}

// guard makes sure that a process group and its shared memory end with this
// process, even when it is killed: the Python processes notice Triton's death
// by themselves, but not while they load a model. A shell waits on a pipe that
// only this process holds. forget ends the guard when the group is gone.
func guard(group int, memory string, log *slog.Logger) (forget func()) {
	const script = `read -r line && exit; kill -s KILL -- "-$0"; sleep 0.1; rm -f "$1"*`
	//nolint:noctx // it outlives every context of this process
	shell := exec.Command("/bin/sh", "-c", script, strconv.Itoa(group), filepath.Join("/dev/shm", memory))
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		log.Warn("no guard for the local Triton: it may outlive this process", "error", err)
		return func() {}
	}
	return func() {
		_, _ = pipe.Write([]byte("\n"))
		_ = pipe.Close()
		_ = shell.Wait()
	}
}

// awaitExit returns when a child has ended, without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (p *process) signalGroup(s syscall.Signal) {
	// The one error that occurs is that none of the group is left.
	_ = syscall.Kill(-p.command.Process.Pid, s)
}

// terminate lets requests under way finish until ctx ends.
func (p *process) terminate(ctx context.Context) {
	// Only to the server itself: it ends its Python processes in order.
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited.Done():
	case <-ctx.Done():
		p.kill()
	}
}

// kill returns when nothing of the group is left.
func (p *process) kill() {
	if p.exited.Err() == nil {
		p.signalGroup(syscall.SIGKILL)
	}
	<-p.exited.Done()
}

// explain adds to an error how the process ended and what it last complained
// about.
func (p *process) explain(err error) error {
	if errors.Is(err, errDied) && p.err != nil {
		err = fmt.Errorf("%w: %w", err, p.err)
	}
	if last := p.log.lastError(); last != "" && !strings.Contains(err.Error(), last) {
		err = fmt.Errorf("%w; its last error: %s", err, last)
	}
	return err
}

// lostChild says whether a Python process of the model instances has died.
// Triton does not start it again: its instance answers errors for ever after.
func (p *process) lostChild() bool {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.command.Process.Pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			stat, _ := os.ReadFile(filepath.Join("/proc", child, "stat"))
			// "pid (name) state …", where the name may hold spaces.
			if _, rest, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(rest, "Z") {
				return true
			}
		}
	}
	return false
}

func removeSharedMemory(prefix string) {
	left, _ := filepath.Glob(filepath.Join("/dev/shm", prefix+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// reservedPort is a TCP port of the loopback address that only this user's
// processes with SO_REUSEPORT can listen on, as long as it is reserved: it is
// bound, but does not listen itself.
type reservedPort struct {
	number int
	socket int
}

// reservePort reserves the given port, or a free one for 0.
func reservePort(number int) (*reservedPort, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	fail := func(call string, err error) (*reservedPort, error) {
		_ = unix.Close(socket)
		return nil, fmt.Errorf("127.0.0.1:%d: %w", number, os.NewSyscallError(call, err))
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fail("setsockopt", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fail("bind", err)
	}
	name, err := unix.Getsockname(socket)
	if err != nil {
		return fail("getsockname", err)
	}
	return &reservedPort{number: name.(*unix.SockaddrInet4).Port, socket: socket}, nil
}

func (p *reservedPort) release() { _ = unix.Close(p.socket) }
