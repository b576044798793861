package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service/evaluation"
)

func newModelsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "List, verify or add models of the repository"}
	cmd.AddCommand(newModelsListCommand(), newModelsVerifyCommand(), newModelsAddCommand())
	return cmd
}

func newModelsListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the models of the repository with what they say of themselves",
		Args:  cobra.NoArgs,
	}
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		models, err := modelrepo.Open(c.Triton.Local.Repository)
		if err != nil {
			return err
		}
		return listModels(cmd.OutOrStdout(), models)
	})
}

func listModels(out io.Writer, models []modelrepo.Model) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "name\ttask\tversions\tinput\tlabels\tdecoder\tfingerprint\t"); err != nil {
		return err
	}
	for _, m := range models {
		line := fmt.Sprintf("%s\t%s\t", m.Name, "wrong: run `lexicrop models verify "+m.Name+"`")
		if c := m.Contract; m.Err == nil {
			line = fmt.Sprintf("%s\t%s\t%v\t%dx%d %s\t%s\t%s\t%.12s\t", m.Name, c.Task, m.Versions,
				c.Input.Width, c.Input.Height, c.Input.DType, strings.Join(c.Labels, ","), c.Decoder, c.Fingerprint)
		}
		if _, err := fmt.Fprintln(table, line); err != nil {
			return err
		}
	}
	return table.Flush()
}

func newModelsVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Check models: files, contract, fingerprint, and an answer from Triton",
		Long: `Check the models named, or all of the repository: that their files, contract, profiles and
fingerprint agree, that Triton loads them, and that they answer. With --photos they are also measured
on labelled photos: mean IoU and misses of the first box, as the service would answer it.`,
		Example: "  lexicrop models verify detector --photos photos/   # photos/labels.json has the boxes",
	}
	photos := cmd.Flags().String("photos", "", "folder of labelled photos to measure on")
	return withConfig(cmd, func(cmd *cobra.Command, names []string, c *config.Config) error {
		if !cmd.Flags().Changed("log-level") {
			c.Log.Level = slog.LevelError
		}
		return verifyModels(cmd.Context(), cmd.OutOrStdout(), c, names, *photos)
	})
}

// verifyModels goes on after a model that is wrong, and fails at the end.
func verifyModels(ctx context.Context, out io.Writer, c *config.Config, names []string, folder string) error {
	models, err := modelrepo.Open(c.Triton.Local.Repository)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(models, func(m modelrepo.Model) bool { return m.Name == name }) {
			return fmt.Errorf("there is no model %s in %s", name, c.Triton.Local.Repository)
		}
	}
	var photos []evaluation.Photo
	if folder != "" {
		if photos, err = evaluation.Load(folder); err != nil {
			return err
		}
	}
	failed := 0
	for _, m := range models {
		if len(names) > 0 && !slices.Contains(names, m.Name) {
			continue
		}
		if err := verifyModel(ctx, out, c, m, photos); err != nil {
			failed++
			if _, err := fmt.Fprintf(out, "%s: WRONG: %v\n", m.Name, err); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d models are wrong", failed)
	}
	return nil
}

// loadPatience is how long a model may take to load and answer before it counts as broken.
const loadPatience = 2 * time.Minute

func verifyModel(ctx context.Context, out io.Writer, c *config.Config, m modelrepo.Model, photos []evaluation.Photo) (err error) {
	if err := m.Verify(); err != nil {
		return err
	}
	if m.Contract.Task != modelrepo.TaskDetector {
		_, err := fmt.Fprintf(out, "%s: files, contract and fingerprint agree\n", m.Name)
		return err
	}
	one := *c
	one.Models = config.Models{Detector: config.Model{Name: m.Name}}
	log := newLogger(&one)
	backend, err := openBackend(ctx, &one, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	svc := newService(&one, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	patience, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if err := svc.WaitReady(patience); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s: files, contract and fingerprint agree; Triton loads it and it answers (version %s)\n",
		m.Name, svc.Models()[0].Version); err != nil || photos == nil {
		return err
	}
	report, err := evaluation.Evaluate(ctx, svc, photos)
	if err != nil {
		return err
	}
	return printEvaluation(out, report)
}

func printEvaluation(out io.Writer, r *evaluation.Report) error {
	if _, err := fmt.Fprintf(out, `  %d photos, one inference %.1f ms (median)
  the work that was meant:  mean IoU %.1f %%, %d missed
  any of the works in view: mean IoU %.1f %%, %d missed
  worst:`, r.Photos, float64(r.Median)/float64(time.Millisecond), 100*r.MeanIoU, r.Misses, 100*r.AnyMeanIoU, r.AnyMisses); err != nil {
		return err
	}
	for _, w := range r.Worst[:min(5, len(r.Worst))] {
		if _, err := fmt.Fprintf(out, " %s %.0f %%", filepath.Base(w.File), 100*w.IoU); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out)
	return err
}
