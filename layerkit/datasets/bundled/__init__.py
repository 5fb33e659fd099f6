"""The sets that come with layerkit, or are drawn."""
