package main

import "github.com/spf13/cobra"

func newModelsCommand() *cobra.Command { return &cobra.Command{Use: "models"} }
