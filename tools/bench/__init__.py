"""The parts of tools/bench.py: layerkit against PyTorch on a CPU.

    bench.py -> session -> rounds, parity, job -> process ~> worker -> layerkit_side | torch_side -> torch_model
             -> table                      work, nets, sides, machine stand below all of them

`~>` is a pipe: each side runs in a process of its own. No process imports both layerkit and torch, so a torch worker is
told its net as plain layers (`job`), and not as YAML.
"""
