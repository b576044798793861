package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "lexicrop",
		Short:         "Find the artwork in a photo, crop it, and find the same work in a catalogue",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newServeCommand(), newCropCommand(), newSearchCommand(), newIndexCommand(), newModelsCommand(), newConfigCommand(), newHealthcheckCommand(), newVersionCommand(),
	)
	return root
}

// withConfig adds --config and a flag for every setting to cmd, and has run called with what they
// and the other sources say.
func withConfig(cmd *cobra.Command, run func(cmd *cobra.Command, args []string, c *config.Config) error) *cobra.Command {
	file := cmd.Flags().StringP("config", "c", "", "configuration file (default "+config.FileVariable+" or "+config.DefaultFile+")")
	config.BindFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := config.Load(config.Options{File: *file, Flags: cmd.Flags()})
		if err != nil {
			return err
		}
		return run(cmd, args, c)
	}
	return cmd
}

func newLogger(c *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
