"""What can be told of a machine or a run: computed here, printed by the command line."""
