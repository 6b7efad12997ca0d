"""What the old import paths `core`, `modules`, `common` and `tools` offer.

The old paths only import from here, and nothing else of ours imports either of them. New code uses
`import testrium` and `testrium.testing`.
"""
