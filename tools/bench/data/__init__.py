"""The parts of `tools/bench.py data`: images a second, read and transformed, beside PyTorch's DataLoader.

    bench.py -> session -> agree, made, bench.rounds, bench.process ~> worker -> layerkit_reader | torch_reader
             -> table                                              rows stands below all of them

`~>` is a pipe, as in `bench`: a process imports layerkit or torch, never both.
"""
