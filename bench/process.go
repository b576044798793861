package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// System is a service to measure: how it is started, and where it answers.
type System struct {
	Name    string
	Command []string
	Folder  string   // where the command runs
	Env     []string // beside the environment of this process
	// Health answers GET with status 200 when the service is ready, Detect takes the photos.
	Health, Detect string
}

// Process is a System that runs.
type Process struct {
	System
	// ColdStart is the time from the start of the command to its readiness.
	ColdStart time.Duration
	command   *exec.Cmd
	log       *os.File
	done      chan struct{}
}

// Start starts a system and waits until it is ready. What it writes goes to the file NAME.log in logs.
func Start(ctx context.Context, s System, logs string) (_ *Process, err error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	p := &Process{System: s, done: make(chan struct{})}
	if p.log, err = os.Create(filepath.Join(logs, strings.ReplaceAll(s.Name, " ", "-")+".log")); err != nil {
		return nil, err
	}
	p.command = exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	p.command.Dir, p.command.Env = s.Folder, append(os.Environ(), s.Env...)
	p.command.Stdout, p.command.Stderr = p.log, p.log
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = 20 * time.Second
	start := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", s.Name, err), p.log.Close())
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // how it ended shows in its log
	}()
	if err := p.waitReady(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%w (its log: %s)", err, p.log.Name())
	}
	p.ColdStart = time.Since(start)
	return p, nil
}

func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Health, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to be ready: %w", p.Name, ctx.Err())
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready", p.Name)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the system.
func (p *Process) Stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.command.Process.Kill()
		<-p.done
	}
	_ = p.log.Close()
}

// Usage is what a process and its descendants have used.
type Usage struct {
	CPU time.Duration // of user and system, since each started
	// Own is CPU of the process that was started alone, without its descendants.
	Own time.Duration
	// Memory is resident, in bytes; what processes share is counted once (PSS).
	Memory int64
}

// Usage reads the process and its descendants from /proc.
func (p *Process) Usage() (Usage, error) {
	parents := map[int]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Usage{}, err
	}
	ticks := map[int]int64{}
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		pid, parent, cpu, err := parseStat(string(content))
		if err != nil {
			return Usage{}, fmt.Errorf("%s: %w", path, err)
		}
		parents[pid], ticks[pid] = parent, cpu
	}
	var u Usage
	for pid := range parents {
		if !descends(pid, p.command.Process.Pid, parents) {
			continue
		}
		// The kernel reports times to programs in units of 1/100 s on every architecture (USER_HZ).
		cpu := time.Duration(ticks[pid]) * (time.Second / 100)
		u.CPU += cpu
		if pid == p.command.Process.Pid {
			u.Own = cpu
		}
		u.Memory += proportionalMemory(pid)
	}
	if u.CPU == 0 {
		return Usage{}, fmt.Errorf("no process of %s is there", p.Name)
	}
	return u, nil
}

// parseStat reads a line of /proc/PID/stat; the name in it may hold spaces and brackets.
func parseStat(line string) (pid, parent int, ticks int64, err error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return 0, 0, 0, errors.New("no name in brackets")
	}
	rest := strings.Fields(line[end+1:])
	if len(rest) < 15 {
		return 0, 0, 0, fmt.Errorf("%d fields", len(rest))
	}
	pid, err = strconv.Atoi(strings.TrimSpace(line[:open]))
	if err != nil {
		return 0, 0, 0, err
	}
	if parent, err = strconv.Atoi(rest[1]); err != nil {
		return 0, 0, 0, err
	}
	for _, field := range rest[11:15] { // utime, stime, and those of children that have ended
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, 0, err
		}
		ticks += n
	}
	return pid, parent, ticks, nil
}

func descends(pid, ancestor int, parents map[int]int) bool {
	for pid != 0 {
		if pid == ancestor {
			return true
		}
		pid = parents[pid]
	}
	return false
}

func proportionalMemory(pid int) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if text, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}
