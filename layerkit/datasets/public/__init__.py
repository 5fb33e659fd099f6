"""The public sets: what they are made of, where their files are found, and how these are fetched and verified."""
