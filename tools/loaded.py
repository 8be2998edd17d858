"""What processes forked from the server of `tools.forks` have loaded: to be imported there, once."""

import gc
import os
from contextlib import suppress
from importlib import import_module

MODULES = ["torch.distributions", "torch._dynamo", "torchviz", "pygraphviz", "matplotlib.pyplot"]
MODULES += ["scipy.integrate", "scipy.optimize", "scipy.stats"]
MODULES += ["ipykernel.kernelapp", "ipykernel.debugger", "IPython.core.oinspect", "IPython.extensions.storemagic"]

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # as kernels have it: IPython's debugger warns otherwise
gc.disable()
for module in MODULES:
    with suppress(ImportError):
        import_module(module)
gc.freeze()  # else each process would look through all of it for garbage, and get its own copy of what it looks at
gc.enable()
