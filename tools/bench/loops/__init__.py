"""The parts of `tools/bench.py loops`: recurrent cells written out as bodies, beside the built-in layers.

    bench.py -> session -> bench.rounds, bench.parity, bench.process ~> worker -> layerkit
             -> table                              cells stands below all of them

`~>` is a pipe, as in `bench`.
"""
