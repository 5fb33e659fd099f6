"""Nets that are stepped through: values and derivatives on every edge of the graph of what is computed.

    steps.read(net) -> passes.reverse or passes.forward -> text.lines, tree.of, picture.of -> page.write

A net becomes steps (steps): a layer is one (operations), and so is each primitive of an Expression (formulas). A pass
gives every edge what enters it, the local derivative (local) and their product.
"""
