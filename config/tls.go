package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Client is what to connect with, nil when TLS is off. The files are read when
// it is called.
func (t TLS) Client() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	authorities, err := t.authorities()
	if err != nil {
		return nil, fmt.Errorf("triton.tls.ca_file %s: %w", t.CAFile, err)
	}
	certificates, err := t.certificates()
	if err != nil {
		return nil, fmt.Errorf("triton.tls.cert_file %s and key_file %s: %w", t.CertFile, t.KeyFile, err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   t.ServerName,
		RootCAs:      authorities,
		Certificates: certificates,
	}, nil
}

// TLS is what to connect with where the URL is one of https. The file is read
// when it is called.
func (w Weaviate) TLS() (*tls.Config, error) {
	authorities, err := readAuthorities(w.CAFile)
	if err != nil {
		return nil, fmt.Errorf("index.weaviate.ca_file %s: %w", w.CAFile, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}, nil
}

func (t TLS) authorities() (*x509.CertPool, error) { return readAuthorities(t.CAFile) }

func readAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // crypto/tls takes those of the system
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, errors.New("there is no certificate in it")
	}
	return pool, nil
}

func (t TLS) certificates() ([]tls.Certificate, error) {
	if t.CertFile == "" && t.KeyFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, err
	}
	return []tls.Certificate{certificate}, nil
}

// validate reads the files, so that a wrong path shows now and not with the
// first connection.
func (t TLS) validate(c *Config) Problems {
	var problems Problems
	if _, err := t.authorities(); err != nil {
		problems = append(problems, c.problem("triton.tls.ca_file", "it must be a PEM file of certificates: "+err.Error()))
	}
	switch _, err := t.certificates(); {
	case err == nil:
	case t.KeyFile == "":
		problems = append(problems, c.problem("triton.tls.key_file", "it must be the private key of triton.tls.cert_file"))
	case t.CertFile == "":
		problems = append(problems, c.problem("triton.tls.cert_file", "it must be the certificate of triton.tls.key_file"))
	default:
		problems = append(problems, c.problem("triton.tls.cert_file", "it must be a certificate that goes with triton.tls.key_file: "+err.Error()))
	}
	return problems
}
