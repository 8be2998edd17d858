"""Print how fast the engine is: samples a second beside raw random numbers and beside one backward pass a sample."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.distributions import Normal

from helpers import estimate_gradient, reparametrize
from helpers.estimators import Pathwise, ScoreFunction
from helpers.monte_carlo import CHUNK_SIZE

N, LOOP_N, REPEATS = 10_000_000, 2_000, 5
PARAMS = {"mu": 12.0, "sigma": 42.0}


def square(z: torch.Tensor) -> torch.Tensor:
    return z**2


def raw_normals() -> None:
    """As many normals as one estimate draws, in its chunks, on one thread."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(N // CHUNK_SIZE):
        torch.randn(CHUNK_SIZE, generator=generator)


def loop() -> None:
    """One sample, one backward pass, LOOP_N times."""
    mu, sigma = (torch.tensor([value], requires_grad=True) for value in PARAMS.values())
    for _ in range(LOOP_N):
        torch.autograd.grad(square(mu + sigma * torch.randn(1)), (mu, sigma))


def vmap() -> None:
    """torch.func's per-sample gradients."""
    per_sample = torch.func.vmap(
        torch.func.grad(lambda mu, sigma, eps: square(mu + sigma * eps), argnums=(0, 1)), in_dims=(None, None, 0)
    )
    mu, sigma = (torch.tensor(value) for value in PARAMS.values())
    for gradient in per_sample(mu, sigma, torch.randn(N)):
        torch.var_mean(gradient.double())


def rate(work: Callable[[], object], samples: int) -> float:
    """Samples a second, median of REPEATS runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return samples / statistics.median(seconds)


def main() -> None:
    engine = partial(estimate_gradient, square, n=N)
    rows = {
        "raw torch.randn, one thread": rate(raw_normals, N),
        "pathwise, estimate_gradient": rate(partial(engine, Pathwise(reparametrize.normal), PARAMS), N),
        "score function, estimate_gradient": rate(
            partial(engine, ScoreFunction(Normal), {"loc": 12.0, "scale": 42.0}), N
        ),
        "pathwise, torch.func.vmap(grad)": rate(vmap, N),
        "pathwise, one backward a sample": rate(loop, LOOP_N),
    }
    base = rows["pathwise, estimate_gradient"]
    print(f"d/dmu, d/dsigma of E[z^2], N = {N:,}, {torch.get_num_threads()} threads, median of {REPEATS}")
    for name, value in rows.items():
        print(f"{name:<36} {value:>14,.0f} samples/s   {base / value:>10,.2f} x")


if __name__ == "__main__":
    main()
