package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/comparison"
	"github.com/lexicam/lexicrop/service/ingest"
	"github.com/lexicam/lexicrop/triton"
)

func newModelsCompareCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare A B --photos FOLDER",
		Short: "Ask two models about the same photos, and tell in what they differ",
		Long: `Ask two detectors or two embedders about every picture of a folder, in turns, and tell how far
they agree and how long they take: of detectors the IoU of the works that they find first, of
embedders the cosine of the vectors (where the models share a space) and how often they hold the same
other picture for the nearest. A version is named as NAME/VERSION; without it the newest is asked.`,
		Example: `  lexicrop models compare detector detector-large --photos photos/ --pictures differences/
  lexicrop models compare embedder/1 embedder/2 --photos catalogue/`,
		Args: cobra.ExactArgs(2),
	}
	var f compareFlags
	cmd.Flags().StringVar(&f.photos, "photos", "", "folder of the photos (or a table of them, see `lexicrop index add`)")
	cmd.Flags().StringVar(&f.pictures, "pictures", "", "folder to write pictures of the worst disagreements to")
	cmd.Flags().IntVar(&f.worst, "worst", 20, "how many of them")
	return withConfig(cmd, func(cmd *cobra.Command, models []string, c *config.Config) error {
		quiet(cmd, c)
		if f.photos == "" {
			return errors.New("--photos names no folder of photos to compare on")
		}
		return compareModels(cmd.Context(), cmd.OutOrStdout(), c, [2]service.ModelName{modelName(models[0]), modelName(models[1])}, f)
	})
}

type compareFlags struct {
	photos, pictures string
	worst            int
}

// modelName reads NAME or NAME/VERSION.
func modelName(text string) service.ModelName {
	name, version, _ := strings.Cut(text, "/")
	return service.ModelName{Name: name, Version: version}
}

func compareModels(ctx context.Context, out io.Writer, c *config.Config, names [2]service.ModelName, f compareFlags) (err error) {
	if names[0] == names[1] {
		return fmt.Errorf("%s and itself: nothing to compare", names[0])
	}
	photos, err := pictures(f.photos)
	if err != nil {
		return err
	}
	if err := areThere(c, names); err != nil {
		return err
	}
	one := *c
	one.Models = config.Models{Detector: config.Model{Name: names[0].Name}}
	one.Index.Store = config.StoreNone
	log := newLogger(&one)
	backend, err := openBackend(ctx, &one, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	loading, cancel := context.WithTimeout(ctx, 2*loadPatience)
	defer cancel()
	giveBack, err := borrow(loading, backend.client, names[0].Name, names[1].Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	task, err := taskOfBoth(loading, backend.client, names)
	if err != nil {
		return err
	}
	one.Models = compared(task, names)
	svc := newService(&one, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	svc.Apply(models(&one), false)
	versions, err := waitForBoth(ctx, svc, task)
	if err != nil {
		return err
	}
	compare := comparison.Detectors
	if task == modelrepo.TaskEmbedder {
		compare = comparison.Embedders
	}
	report, err := compare(ctx, svc, photos)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "A is %s, B is %s; %s\n%s", versions[0], versions[1],
		plural(len(report.Pairs), "photo", "photos"), comparisonReport(task, report)); err != nil {
		return fmt.Errorf("printing the comparison: %w", err)
	}
	if f.pictures != "" {
		if err := drawDisagreements(f.pictures, report, f.worst, c); err != nil {
			return err
		}
	}
	if len(report.Failures) > 0 {
		return fmt.Errorf("%d of %d photos failed", len(report.Failures), len(photos))
	}
	return nil
}

// pictures are the files that a folder or table names.
func pictures(path string) ([]string, error) {
	source, err := ingest.Open(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for r, err := range source.Records() {
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", r.Where, err)
		case r.File != "":
			files = append(files, r.File)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no pictures in %s", path)
	}
	return files, nil
}

// areThere looks for the models in the repository, where the Triton to come has it on this machine.
func areThere(c *config.Config, names [2]service.ModelName) error {
	if c.Triton.Address != "" {
		return nil
	}
	models, err := modelrepo.Open(c.Triton.Local.Repository)
	if err != nil {
		return err
	}
	for _, n := range names {
		i := slices.IndexFunc(models, func(m modelrepo.Model) bool { return m.Name == n.Name })
		if i < 0 {
			return fmt.Errorf("there is no model %s in %s", n.Name, c.Triton.Local.Repository)
		}
		if n.Version != "" && !slices.ContainsFunc(models[i].Versions, func(v int) bool { return strconv.Itoa(v) == n.Version }) {
			return fmt.Errorf("the model %s has the versions %v, not %s", n.Name, models[i].Versions, n.Version)
		}
	}
	return nil
}

// taskOfBoth tries both models.
func taskOfBoth(ctx context.Context, client *triton.Client, names [2]service.ModelName) (modelrepo.Task, error) {
	var tasks [2]modelrepo.Task
	for i, n := range names {
		trial, err := service.Try(ctx, client, service.ModelName{Name: n.Name})
		if err != nil {
			return "", fmt.Errorf("the model %s: %w", n.Name, err)
		}
		tasks[i] = trial.Contract.Task
	}
	if tasks[0] != tasks[1] {
		return "", fmt.Errorf("%s is of task %s and %s of task %s: they cannot be compared", names[0].Name, tasks[0], names[1].Name, tasks[1])
	}
	return tasks[0], nil
}

// compared has A answer and B as its shadow.
func compared(task modelrepo.Task, names [2]service.ModelName) config.Models {
	a, shadow := names[0], config.OtherModel{Name: names[1].Name, Version: names[1].Version}
	if task == modelrepo.TaskEmbedder {
		return config.Models{Embedder: config.EmbedderModel{Name: a.Name, Version: a.Version, Shadow: shadow}}
	}
	return config.Models{Detector: config.Model{Name: a.Name, Version: a.Version, Shadow: shadow}}
}

// waitForBoth returns the names of A and B with their versions, or why one of them does not come.
func waitForBoth(ctx context.Context, svc *service.Service, task modelrepo.Task) (names [2]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	for {
		var ready [2]bool
		var reason string
		for _, m := range svc.Models() {
			if m.Task != string(task) || m.Role == service.RoleCanary {
				continue
			}
			i := 0
			if m.Role == service.RoleShadow {
				i = 1
			}
			names[i], ready[i] = m.Name+"/"+m.Version, m.Ready
			if m.State == service.StateFailed {
				return names, fmt.Errorf("the model %s: %s", m.Name, m.Reason)
			} else if !m.Ready {
				reason = m.Name + ": " + m.Reason
			}
		}
		if ready[0] && ready[1] {
			return names, nil
		}
		select {
		case <-ctx.Done():
			return names, fmt.Errorf("waiting for the model %s: %w", reason, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// comparisonReport is the report for a person.
func comparisonReport(task modelrepo.Task, r *comparison.Report) string {
	var text strings.Builder
	if len(r.Pairs) > 0 {
		if task == modelrepo.TaskEmbedder {
			writeVectors(&text, r)
		} else {
			writeBoxes(&text, r)
		}
		for i, name := range []string{"A", "B"} {
			times := r.Inferences(i)
			fmt.Fprintf(&text, "  one inference of %s:      median %.1f ms, 95 %% below %.1f ms\n", name,
				comparison.Quantile(times, 0.5).Seconds()*1000, comparison.Quantile(times, 0.95).Seconds()*1000)
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&text, "  FAILED: %s: %v\n", f.File, f.Err)
	}
	return text.String()
}

func writeBoxes(text *strings.Builder, r *comparison.Report) {
	all := r.Agreements()
	same := func(p comparison.Pair) bool { return p.Agreement >= comparison.SameIoU }
	fmt.Fprintf(text, "  the same work first:     %5.1f %% of the photos (IoU %.1f or more)\n", 100*r.Share(same), comparison.SameIoU)
	fmt.Fprintf(text, "  nearly the same box:     %5.1f %% (IoU %.1f or more)\n",
		100*r.Share(func(p comparison.Pair) bool { return p.Agreement >= comparison.NearIoU }), comparison.NearIoU)
	fmt.Fprintf(text, "  IoU:                     mean %.3f, median %.3f, one in twenty below %.3f\n",
		mean(all), comparison.Quantile(all, 0.5), comparison.Quantile(all, 0.05))
	count := func(holds func(a, b []service.Detection) bool) (n int) {
		for _, p := range r.Pairs {
			if holds(p.Answers[0].Crop.Detections, p.Answers[1].Crop.Detections) {
				n++
			}
		}
		return n
	}
	fmt.Fprintf(text, "  other label:             %d of those with the same work\n", count(func(a, b []service.Detection) bool {
		return len(a) > 0 && len(b) > 0 && service.Agreement(a, b) >= comparison.SameIoU && a[0].Label != b[0].Label
	}))
	fmt.Fprintf(text, "  a work is found by:      A alone %d, B alone %d, neither %d\n",
		count(func(a, b []service.Detection) bool { return len(a) > 0 && len(b) == 0 }),
		count(func(a, b []service.Detection) bool { return len(a) == 0 && len(b) > 0 }),
		count(func(a, b []service.Detection) bool { return len(a) == 0 && len(b) == 0 }))
	fmt.Fprintf(text, "  worst:                  ")
	for _, p := range r.Pairs[:min(5, len(r.Pairs))] {
		fmt.Fprintf(text, " %s %.2f", filepath.Base(p.File), p.Agreement)
	}
	fmt.Fprintln(text)
}

func writeVectors(text *strings.Builder, r *comparison.Report) {
	if all := r.Agreements(); len(all) > 0 {
		fmt.Fprintf(text, "  cosine:                  mean %.4f, median %.4f, one in twenty below %.4f, least %.4f\n",
			mean(all), comparison.Quantile(all, 0.5), comparison.Quantile(all, 0.05), all[0])
	} else {
		fmt.Fprintf(text, "  cosine:                  none: the spaces are different\n")
	}
	if len(r.Pairs) > 2 {
		fmt.Fprintf(text, "  the same photo nearest:  %5.1f %% of the photos\n",
			100*r.Share(func(p comparison.Pair) bool { return p.Nearest[0] == p.Nearest[1] }))
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / math.Max(1, float64(len(values)))
}

// plural is "1 photo" or "3 photos".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
