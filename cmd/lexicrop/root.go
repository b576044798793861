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
		Short:         "Find the artwork in a photo and crop it",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newServeCommand(), newCropCommand(), newModelsCommand(), newConfigCommand(), newHealthcheckCommand(), newVersionCommand(),
	)
	return root
}

// addConfigFlags adds --config and a flag for every setting to cmd and returns what reads them.
func addConfigFlags(cmd *cobra.Command) func() (*config.Config, error) {
	file := cmd.Flags().StringP("config", "c", "", "configuration file (default "+config.FileVariable+" or "+config.DefaultFile+")")
	config.BindFlags(cmd.Flags())
	return func() (*config.Config, error) {
		return config.Load(config.Options{File: *file, Flags: cmd.Flags()})
	}
}

func newLogger(c *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
