"""Nets that are stepped through: values and derivatives on every edge of the graph of what is computed.

    steps.read(net) -> passes.reverse or passes.forward -> text.lines, tree.of, picture.Drawn -> page.write

A net becomes values and the steps that make them (values, steps): a layer is one (operations), and so is each primitive
of an Expression (expressions, formulas). A loop is there run by run (loops), of a Cond the body that ran (branches);
what only moves values about is placing, and the middle of a long loop is one step (joining, folding). A pass gives
every edge what enters it, the local derivative (local) and their product.
"""
