package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print the configuration"}
	cmd.AddCommand(newConfigCheckCommand(), newConfigPrintCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell everything that is wrong with the configuration",
		Args:  cobra.NoArgs,
	}
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		source := c.File
		if source == "" {
			source = "no file was read"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "the configuration is right (%s)\n", source)
		return err
	})
}

func newConfigPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force, with comments, fit to be saved as a file",
		Args:  cobra.NoArgs,
	}
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		return c.Print(cmd.OutOrStdout())
	})
}
