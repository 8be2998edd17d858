"""What processes forked from the server of `tools.forks` have loaded: to be imported there, once."""

import gc
from contextlib import suppress
from importlib import import_module

MODULES = ["torch.distributions", "torch._dynamo", "torchviz", "matplotlib.pyplot"]
MODULES += ["scipy.integrate", "scipy.optimize", "scipy.stats", "ipykernel.kernelapp"]

gc.disable()
for module in MODULES:
    with suppress(ImportError):
        import_module(module)
gc.freeze()  # else each process would look through all of it for garbage, and get its own copy of what it looks at
gc.enable()
