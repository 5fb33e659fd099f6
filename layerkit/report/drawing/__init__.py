"""Pictures of nets: what is in them (picture), where it stands (layout), and how it is written (svg, html, dot, png).

graph -> picture.of(graph) -> layout.arrange(picture) -> svg.write, html.write, png.write; dot.write needs no layout.
Everything is computed here, with no system package; equal nets give equal bytes.
"""
