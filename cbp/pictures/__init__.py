"""Pictures: curves, weights, regions and networks, for matplotlib and for notebooks.

They are given numbers and names, and ask a network what everybody may ask; they know no other part of cbp. ``markup`` is what
all HTML and SVG of cbp is written with, the traces' too; ``canvas`` is the way to matplotlib, which is loaded where something
is drawn.
"""
