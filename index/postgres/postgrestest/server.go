// Package postgrestest runs PostgreSQL servers for tests, real ones, with
// pgvector. setup.sh in the folder above installs them.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server that keeps its data in a folder of its own and
// listens on a socket there. It ends with this process, whatever ends that.
type Server struct {
	folder string // install, data and the socket
	pid    int
	exited chan struct{}
}

// Password is that of the superuser postgres.
const Password = "correct horse/battery:staple@%"

// Start makes and starts a server of an installation, such as build/postgres/16.
// It does not run as root: then nobody runs it.
func Start(install string) (_ *Server, err error) {
	folder, err := os.MkdirTemp("", "lexicrop-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if _, err := os.Stat(filepath.Join(install, "bin")); err != nil {
		return nil, fmt.Errorf("no PostgreSQL, which index/postgres/setup.sh installs: %w", err)
	}
	// What nobody runs, nobody must be able to reach.
	if err := os.CopyFS(s.path("install"), os.DirFS(install)); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("password"), []byte(Password), 0o600); err != nil {
		return nil, err
	}
	if err := s.giveAway(); err != nil {
		return nil, err
	}
	output, err := s.command("initdb", "--pgdata="+s.path("data"), "--username=postgres", "--auth=scram-sha-256", "--pwfile="+s.path("password"),
		"--encoding=UTF8", "--no-locale", "--no-sync").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	if err := s.Restart(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run starts the server that the tests of a package share, runs them, and
// returns the exit status of the package. Without a server the tests fail,
// unless LEXICROP_SKIP_POSTGRES is set: then server is nil in them.
func Run(install string, server **Server, run func() int) int {
	if os.Getenv("LEXICROP_SKIP_POSTGRES") != "" {
		return run()
	}
	s, err := Start(install)
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v (LEXICROP_SKIP_POSTGRES=1 leaves these tests out)\n", err)
		return 1
	}
	*server = s
	status := run()
	if err := s.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: stop PostgreSQL: %v\n", err)
		return 1
	}
	return status
}

func (s *Server) path(name string) string { return filepath.Join(s.folder, name) }

// nobody is who runs the server for root.
const nobody = 65534

// giveAway gives the folder to nobody, if root made it.
func (s *Server) giveAway() error {
	if os.Geteuid() != 0 {
		return nil
	}
	root, err := os.OpenRoot(s.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, nobody, nobody)
	})
}

func (s *Server) command(name string, arguments ...string) *exec.Cmd {
	//nolint:noctx // Stop ends it
	c := exec.Command(s.path(filepath.Join("install", "bin", name)), arguments...)
	c.Dir = s.folder
	c.Env = []string{"LC_ALL=C", "TZ=UTC"}
	c.SysProcAttr = attributes()
	if os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return c
}

// DSN is how the superuser reaches a database.
func (s *Server) DSN(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", Password), Path: "/" + database, RawQuery: url.Values{"host": {s.folder}}.Encode()}
	return u.String()
}

// Restart starts the server after Kill, and returns when it answers: after a
// crash it first recovers.
func (s *Server) Restart() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := s.start(ctx)
		// Those that Kill killed may be there for another moment.
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "shared memory block") {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) start(ctx context.Context) error {
	log, err := os.Create(s.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := s.command("postgres", "-D", s.path("data"), "-k", s.folder, "-c", "listen_addresses=")
	c.Stdout, c.Stderr = log, log
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The server is told to end when the thread ends that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // its log says why it ended
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.pid, s.exited = c.Process.Pid, exited
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-exited:
			err = errors.New("it ended")
		case <-time.After(20 * time.Millisecond):
			if ctx.Err() == nil {
				continue
			}
		}
		said, _ := os.ReadFile(s.path("log"))
		return fmt.Errorf("postgres: %w\n%s", err, said)
	}
}

// Kill ends all processes of the server at once, as a power cut would. What it
// has not written stays with the kernel, though: only what PostgreSQL held back
// is lost.
func (s *Server) Kill() {
	children := s.children()
	_ = syscall.Kill(s.pid, syscall.SIGKILL) // it is a child of ours that was not waited for
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
}

// children are the processes that serve the connections, and do the rest.
func (s *Server) children() []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Stop ends the server, and removes all it kept.
func (s *Server) Stop() error {
	if s.exited != nil {
		_ = syscall.Kill(s.pid, syscall.SIGINT) // fast shutdown
		select {
		case <-s.exited:
		case <-time.After(30 * time.Second):
			s.Kill()
		}
	}
	return os.RemoveAll(s.folder)
}
