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
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/evaluation"
	"github.com/lexicam/lexicrop/triton"
)

func newModelsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "List, verify, compare or add models of the repository"}
	cmd.AddCommand(newModelsListCommand(), newModelsVerifyCommand(), newModelsCompareCommand(), newModelsAddCommand())
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
	if _, err := fmt.Fprintln(table, "name\ttask\tversions\tinput\tlabels or space\tdecoder or length\tfingerprint\t"); err != nil {
		return err
	}
	for _, m := range models {
		line := fmt.Sprintf("%s\t%s\t", m.Name, "wrong: run `lexicrop models verify "+m.Name+"`")
		if c := m.Contract; m.Err == nil {
			what, how := strings.Join(c.Labels, ","), string(c.Decoder)
			if c.Task == modelrepo.TaskEmbedder {
				what, how = c.Space, fmt.Sprint(c.Dimensions)
			}
			line = fmt.Sprintf("%s\t%s\t%v\t%dx%d %s\t%s\t%s\t%.12s\t", m.Name, c.Task, m.Versions,
				c.Input.Width, c.Input.Height, c.Input.DType, what, how, c.Fingerprint)
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
	photos := cmd.Flags().StringArray("photos", nil, "folder of labelled photos to measure on; may be given several times")
	return withConfig(cmd, func(cmd *cobra.Command, names []string, c *config.Config) error {
		if !cmd.Flags().Changed("log-level") {
			c.Log.Level = slog.LevelError
		}
		return verifyModels(cmd.Context(), cmd.OutOrStdout(), c, names, *photos)
	})
}

// verifyModels goes on after a model that is wrong, and fails at the end.
func verifyModels(ctx context.Context, out io.Writer, c *config.Config, names, folders []string) error {
	models, err := modelrepo.Open(c.Triton.Local.Repository)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(models, func(m modelrepo.Model) bool { return m.Name == name }) {
			return fmt.Errorf("there is no model %s in %s", name, c.Triton.Local.Repository)
		}
	}
	var sets []photoSet
	for _, folder := range folders {
		photos, err := evaluation.Load(folder)
		if err != nil {
			return err
		}
		sets = append(sets, photoSet{filepath.Base(folder), photos})
	}
	failed := 0
	for _, m := range models {
		if len(names) > 0 && !slices.Contains(names, m.Name) {
			continue
		}
		if err := verifyModel(ctx, out, c, m, sets); err != nil {
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

func verifyModel(ctx context.Context, out io.Writer, c *config.Config, m modelrepo.Model, sets []photoSet) (err error) {
	if err := m.Verify(); err != nil {
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
	patience, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	giveBack, err := borrow(patience, backend.client, m.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	trial, err := service.Try(patience, backend.client, service.ModelName{Name: m.Name})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s: files, contract and fingerprint agree; Triton loads it and it answers (version %s)\n%s",
		m.Name, trial.Version, trialReport(trial)); err != nil || len(sets) == 0 || m.Contract.Task != modelrepo.TaskDetector {
		return err
	}
	svc := newService(&one, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	if err := svc.WaitReady(patience); err != nil {
		return err
	}
	for _, set := range sets {
		report, err := evaluation.Evaluate(ctx, svc, set.photos)
		if err == nil {
			err = printEvaluation(out, set.name, report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// photoSet is a folder of labelled photos.
type photoSet struct {
	name   string
	photos []evaluation.Photo
}

// borrow has Triton load the models that it has not loaded. giveBack has those unloaded again: a Triton
// elsewhere may need its memory for others.
func borrow(ctx context.Context, client *triton.Client, names ...string) (giveBack func() error, err error) {
	var loaded []string
	giveBack = func() (err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		for _, name := range loaded {
			err = errors.Join(err, client.Unload(ctx, name))
		}
		return err
	}
	for _, name := range names {
		ready, err := client.ModelReady(ctx, name, "")
		if err == nil && !ready {
			loaded = append(loaded, name)
			err = client.Load(ctx, name)
		}
		if err != nil {
			return nil, errors.Join(err, giveBack())
		}
	}
	return giveBack, nil
}

// trialReport says in lines what a model did when it was tried.
func trialReport(t *service.Trial) string {
	var text strings.Builder
	fmt.Fprintf(&text, "  one inference:     %.1f ms (median, there and back)\n", float64(t.Median)/float64(time.Millisecond))
	if t.Contract.Task == modelrepo.TaskEmbedder {
		fmt.Fprintf(&text, "  vector:            %d values of length %.4g, made 1; space %s\n", t.Contract.Dimensions, t.Length, t.Contract.Space)
	} else {
		fmt.Fprintf(&text, "  blank picture:     %s\n  reference picture: %s\n", seen(t.Blank), seen(t.Reference))
	}
	for _, doubt := range t.Doubts {
		fmt.Fprintf(&text, "  DOUBTFUL: %s\n", doubt)
	}
	return text.String()
}

func seen(found []service.Detection) string {
	if len(found) == 0 {
		return "nothing is seen"
	}
	first := found[0]
	return fmt.Sprintf("%d seen, first %s of score %.2f at %.0f,%.0f,%.0f,%.0f of the input",
		len(found), first.Label, first.Score, first.Box.X1, first.Box.Y1, first.Box.X2, first.Box.Y2)
}

func printEvaluation(out io.Writer, set string, r *evaluation.Report) error {
	if _, err := fmt.Fprintf(out, `  %s: %d photos, one inference %.1f ms (median)
  the work that was meant:  mean IoU %.1f %%, %d missed
  any of the works in view: mean IoU %.1f %%, %d missed
  worst:`, set, r.Photos, float64(r.Median)/float64(time.Millisecond), 100*r.MeanIoU, r.Misses, 100*r.AnyMeanIoU, r.AnyMisses); err != nil {
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
