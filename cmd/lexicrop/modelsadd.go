package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo/known"
)

func newModelsAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a model to the repository",
		Long: "Fetch a known model from where its authors publish it, and add it to the repository:\n\n" + knownModels() +
			"\nOr bring an ONNX file of your own with --onnx: its model folder is written with all profiles, and tried by the\n" +
			"local Triton with a blank and a real picture before it is added.",
		Example: `  lexicrop models add sscd
  lexicrop models add original --onnx fasterrcnn.onnx --decoder torchvision --labels painting,object
  lexicrop models add mine --onnx embedder.onnx --space mine-1 --scale imagenet`,
		Args: cobra.ExactArgs(1),
	}
	var brought onnxFlags
	brought.bind(cmd)
	return withConfig(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		if !cmd.Flags().Changed("log-level") {
			c.Log.Level = slog.LevelError
		}
		if brought.file != "" {
			return addONNX(cmd.Context(), cmd.OutOrStdout(), c, args[0], &brought)
		}
		return addKnownModel(cmd.Context(), cmd.OutOrStdout(), c, args[0])
	})
}

func knownModels() string {
	var text strings.Builder
	for _, m := range known.Models() {
		fmt.Fprintf(&text, "  %-12s %s;\n  %-12s %s\n", m.Name, m.About, "", m.Licence)
	}
	return text.String()
}

func addKnownModel(ctx context.Context, out io.Writer, c *config.Config, name string) error {
	m, ok := known.Find(name)
	if !ok {
		return fmt.Errorf("no model %s is known (--onnx FILE brings one); known are\n%s", name, knownModels())
	}
	repository := c.Triton.Local.Repository
	installed, err := m.Install(ctx, known.Options{Repository: repository, Python: pythonWithPip(c)})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s is in %s (licence: %s)\n", m.Name, installed.Dir, m.Licence); err != nil {
		return err
	}
	return verifyModel(ctx, out, c, installed, nil)
}

// pythonWithPip is that of the local Triton, or where there is none, the system's.
func pythonWithPip(c *config.Config) string {
	python := filepath.Join(c.Triton.Local.Install, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python
	}
	return "python3"
}
