"""helpers.monte_carlo: estimates that pool exactly, honest standard errors, and the same bits whoever does the work."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial, reduce
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torch import distributions as td

from helpers import SEED, Estimate, compare, estimate_gradient, monte_carlo
from helpers.estimators import Estimator, Pathwise, ScoreFunction
from helpers.estimators.base import TRYING
from helpers.reparametrize import normal
from tests.support.statistical import LEVEL, SIGMAS, generator, same, square, sum_of_squares

NORMAL = {"mu": 12.0, "sigma": 42.0}
PATHWISE = Pathwise(normal)
f64 = partial(torch.tensor, dtype=torch.float64)
ONE = Estimate(f64(0.0), f64(1.0), 5)


# Estimate -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_estimate_is_the_mean_and_variance_of_its_samples(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    samples = torch.randn(50, *shape, generator=generator(), dtype=dtype) + 3
    estimate = Estimate.from_samples(samples)
    exact = samples.double().numpy()
    assert estimate.n == 50
    assert estimate.mean.dtype == estimate.variance.dtype == torch.float64
    assert estimate.mean.shape == estimate.standard_error.shape == shape
    np.testing.assert_allclose(estimate.mean.numpy(), exact.mean(0), rtol=1e-13)
    np.testing.assert_allclose(estimate.variance.numpy(), exact.var(0, ddof=1), rtol=1e-13)
    np.testing.assert_allclose(estimate.standard_error.numpy(), exact.std(0, ddof=1) / np.sqrt(50), rtol=1e-13)


@pytest.mark.parametrize("shape", [(), (2, 3)])
@pytest.mark.parametrize("cut", [2, 50, 98])
def test_merging_equals_pooling(shape: tuple[int, ...], cut: int) -> None:
    samples = torch.randn(100, *shape, generator=generator(), dtype=torch.float64)
    samples[:cut] += 5
    merged = Estimate.from_samples(samples[:cut]).merge(Estimate.from_samples(samples[cut:]))
    pooled = Estimate.from_samples(samples)
    assert merged.n == 100
    torch.testing.assert_close(merged.mean, pooled.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.variance, pooled.variance, rtol=1e-12, atol=0)


def test_merging_is_associative_and_commutative_up_to_rounding() -> None:
    samples = torch.randn(100, generator=generator(), dtype=torch.float64) * torch.arange(100)
    a, b, c = (Estimate.from_samples(part) for part in (samples[:10], samples[10:70], samples[70:]))
    for one, other in ((a.merge(b).merge(c), a.merge(b.merge(c))), (a.merge(b), b.merge(a))):
        torch.testing.assert_close(one.mean, other.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(one.variance, other.variance, rtol=1e-12, atol=0)
        assert one.n == other.n


@pytest.mark.parametrize("value", [1.0, 2, torch.tensor([1.0, 2.0])])
def test_an_estimate_minus_a_number_keeps_its_error(value: Any) -> None:
    estimate = Estimate(f64([1.0, 5.0]), f64([1.0, 4.0]), 10)
    bias = estimate - value
    assert bias.mean.equal(f64([1.0, 5.0]) - torch.as_tensor(value))
    assert bias.variance.equal(estimate.variance)
    assert bias.n == 10


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (24.1312, 2.6561, "24.13 ± 2.66"),
        (-24.1312, 2.6561, "-24.13 ± 2.66"),
        (1.234567, 0.00123, "1.23457 ± 0.00123"),
        (1000.4, 123.4, "1000 ± 123"),
        (123456.7, 23456.7, "123457 ± 23457"),
        (0.5, 1.0, "0.50 ± 1.00"),
        (2.0, 0.0, "2 ± 0"),
        ([1.0, 2.0], [0.5, 0.25], "[1.000 ± 0.500, 2.000 ± 0.250]"),
        ([[1.0], [2.0]], [[0.5], [0.25]], "[[1.000 ± 0.500], [2.000 ± 0.250]]"),
    ],
)
def test_an_estimate_prints_with_its_standard_error(mean: Any, error: Any, text: str) -> None:
    estimate = Estimate(f64(mean), f64(error) ** 2 * 100, 100)
    assert str(estimate) == repr(estimate) == text


def test_a_variance_that_is_unknown_shows() -> None:
    assert str(Estimate(f64(1.0), f64(float("nan")), 5)) == "1 ± nan"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Estimate(f64(0.0), f64(1.0), 1), "n must be >= 2, got 1"),
        (lambda: Estimate(f64(0.0), f64(1.0), 2.5), "n must be an int, got 2.5"),  # type: ignore[arg-type]
        (lambda: Estimate(f64(0.0), f64(-1.0), 5), "variance must be .*-1"),
        (lambda: Estimate(f64([0.0, 1.0]), f64(1.0), 5), r"variance must .*shape \(2,\), got .*\(\)"),
        (lambda: Estimate.from_samples(torch.ones(())), "samples must have a first axis"),
        (lambda: Estimate.from_samples(torch.ones(1)), "n must be >= 2, got 1|samples must .*got 1"),
        (lambda: Estimate.from_samples(torch.ones(0)), "n must be >= 2, got 0|samples must .*got 0"),
        (lambda: Estimate.from_samples([1.0, 2.0]), r"samples must be a tensor, got \[1.0, 2.0\]"),  # type: ignore[arg-type]
        (lambda: ONE.merge(Estimate(f64([0.0, 1]), f64([1.0, 1]), 5)), r"other .*shape \(\), got .*\(2,\)"),
        (lambda: ONE.merge(3), "other must be an Estimate, got 3"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_estimate_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


# the numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [2, 10, 333, 1000, 5000])
def test_every_sample_counts_once(chunk_size: int) -> None:
    seen: list[Tensor] = []

    def watched(z: Tensor) -> Tensor:
        if not TRYING.get():
            seen.append(z.detach().double())
        return z**2

    found = estimate_gradient(watched, PATHWISE, NORMAL, 1000, chunk_size=chunk_size, executor=InRandomOrder())["mu"]
    gradients = 2 * torch.cat(seen)
    assert found.n == len(gradients) == 1000
    assert sorted(map(len, seen))[0] >= min(chunk_size, 1000)
    torch.testing.assert_close(found.mean, gradients.mean(), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.variance, gradients.var(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [2, 3, 1000, 32_768, 65_536, 70_001])
def test_n_is_kept(n: int) -> None:
    found = estimate_gradient(square, PATHWISE, NORMAL, n, seed=SEED, chunk_size=32_768)
    assert list(found) == ["mu", "sigma"]
    assert all(estimate.n == n for estimate in found.values())


def test_estimates_have_the_shape_of_their_parameter() -> None:
    params = {"mu": torch.ones(2, 1), "sigma": torch.ones(3, dtype=torch.float64)}
    found = estimate_gradient(sum_of_squares, PATHWISE, params, 100, chunk_size=30)
    assert {name: estimate.mean.shape for name, estimate in found.items()} == {"mu": (2, 1), "sigma": (3,)}
    assert all(estimate.mean.dtype == torch.float64 for estimate in found.values())


def standard_normal_around(mean: float, dtype: torch.dtype) -> Estimator:
    def estimator(f: object, params: object, n: int, generator: Generator | None) -> dict[str, Tensor]:
        return {"x": mean + torch.randn(n, generator=generator, dtype=dtype)}

    return estimator


def test_a_large_mean_does_not_drown_the_variance() -> None:
    n, around = 1_000_000, {"x": 1.0}
    zero = estimate_gradient(square, standard_normal_around(0, torch.float64), around, n, chunk_size=10_000)["x"]
    large = estimate_gradient(square, standard_normal_around(1e8, torch.float64), around, n, chunk_size=10_000)["x"]
    assert large.mean.item() == pytest.approx(1e8 + zero.mean.item(), rel=1e-15)
    # adding 1e8 rounds each sample to 1.5e-8, so no more than 1e-6 can be asked for
    assert large.variance.item() == pytest.approx(zero.variance.item(), rel=1e-6)


def test_two_hundred_chunks_of_a_large_mean() -> None:
    around, n = standard_normal_around(1e8, torch.float64), 10_000_000
    found = estimate_gradient(square, around, {"x": 1.0}, n, seed=SEED, chunk_size=50_000)["x"]
    # 11 digits of the mean, 3 of the variance
    assert abs(found.mean.item() - 1e8) < SIGMAS / n**0.5
    assert abs(found.variance.item() - 1) < SIGMAS * (2 / n) ** 0.5


def test_float32_samples_are_added_up_in_float64() -> None:
    around = standard_normal_around(4096.0, torch.float32)
    found = estimate_gradient(square, around, {"x": 1.0}, 500_000, seed=SEED)["x"]
    # 4096 rounds a sample to 4.9e-4 at worst; sums in float32 would be off by more than the standard error
    assert found.variance.item() == pytest.approx(1, rel=0.012)
    assert abs(found.mean.item() - 4096) < 5 * 0.0015


@pytest.mark.parametrize("chunk_size", [100, 1000])
def test_seeds_and_chunks_are_independent(chunk_size: int) -> None:
    # z over 200 seeds: with one stream for all 10 chunks its standard deviation would be 3, not 1
    z, executor = [], InRandomOrder()
    for seed in range(200 * SEED, 200 * SEED + 200):
        found = estimate_gradient(square, PATHWISE, NORMAL, 1000, seed=seed, chunk_size=chunk_size, executor=executor)
        z.append(((found["mu"].mean - 24) / (84 / 1000**0.5)).item())
    assert stats.kstest(z, stats.norm.cdf).pvalue > LEVEL
    assert LEVEL < stats.chi2.cdf(np.sum(np.square(z)), 200) < 1 - LEVEL
    assert LEVEL < stats.norm.cdf(np.corrcoef(z[1:], z[:-1])[0, 1] * 200**0.5) < 1 - LEVEL


@pytest.mark.parametrize(
    ("estimator", "params", "exact"),
    [
        (PATHWISE, NORMAL, {"mu": 24, "sigma": 84}),
        (ScoreFunction(td.Bernoulli), {"probs": 0.25}, {"probs": 1}),
        (ScoreFunction(td.Bernoulli, 0.25), {"probs": 0.25}, {"probs": 1}),
        (ScoreFunction(td.Normal), {"loc": 12.0, "scale": 42.0}, {"loc": 24}),
    ],
    ids=["pathwise normal", "score", "score with baseline", "score normal"],
)
def test_standard_errors_are_honest(estimator: Estimator, params: dict[str, float], exact: dict[str, float]) -> None:
    """10,000 repetitions at n = 1000; the share of covered truths has a standard error of 0.22%.

    d/dscale by the score function is left out: its law is so skewed (kurtosis 240) that the interval covers 93.0% at
    n = 1000, however honest the standard error.
    """
    gradients = estimator(square, params, 10_000_000, generator())
    for name, truth in exact.items():
        repeated = Estimate.from_samples(gradients[name].reshape(10_000, 1000).T)
        covered = (repeated.mean - truth).abs() < stats.norm.ppf(0.975) * repeated.standard_error
        assert 0.935 < covered.double().mean().item() < 0.965


# the same bits --------------------------------------------------------------------------------------------------------


class Asked(Future):
    """A future that is worked on when somebody asks for its result."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work

    def result(self, timeout: float | None = None) -> Any:
        while not self.done():
            self.work()
        return super().result(timeout)


class InRandomOrder(Executor):
    """Whenever a result is asked for, all tasks that wait are done, in random order; counts those under way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Asked, Callable[[], Any]]] = []
        self.submitted = self.most = 0
        self.order = random.Random(SEED)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Asked:
        future = Asked(self.work)
        self.waiting.append((future, partial(fn, *args, **kwargs)))
        self.submitted += 1
        self.most = max(self.most, len(self.waiting))
        return future

    def work(self) -> None:
        self.order.shuffle(self.waiting)
        while self.waiting:
            future, task = self.waiting.pop()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(task())
            except Exception as error:
                future.set_exception(error)


class OneAtATime(InRandomOrder):
    """Does the oldest task alone when asked, so that `most` counts what the caller keeps under way."""

    def work(self) -> None:
        future, task = self.waiting.pop(0)
        future.set_running_or_notify_cancel()
        try:
            future.set_result(task())
        except Exception as error:
            future.set_exception(error)


def undisturbed(**kwargs: Any) -> dict[str, Estimate]:
    return estimate_gradient(torch.square, PATHWISE, NORMAL, 20_000, seed=SEED, chunk_size=1500, **kwargs)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_give_the_same_bits(workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        assert same(undisturbed(executor=executor), undisturbed())


def test_any_order_of_completion_gives_the_same_bits() -> None:
    assert same(undisturbed(executor=InRandomOrder()), undisturbed())
    assert same(undisturbed(executor=OneAtATime()), undisturbed())


def test_the_number_of_tasks_under_way_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for most in (1, 5, 1000):
        monkeypatch.setattr(monte_carlo, "_IN_FLIGHT", most)
        results.append(undisturbed(executor=OneAtATime()))
    assert same(results[0], results[2])
    assert same(results[1], results[2])


def test_processes_give_the_same_bits() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert same(undisturbed(executor=executor), undisturbed())


@pytest.fixture
def torch_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("mu", [12.0, torch.full((7,), 12.0)], ids=["number", "vector"])
@pytest.mark.parametrize(("n", "chunk_size"), [(1000, 32_768), (65_535, 32_768), (120_000, 32_768), (140_000, 70_000)])
def test_the_number_of_torch_s_own_threads_changes_no_bit(
    torch_threads: Callable[[int], None], mu: Any, n: int, chunk_size: int
) -> None:
    # a worker of Dask has OMP_NUM_THREADS=1, a laptop 8: the answer must be the same
    results = []
    for threads in (1, 2, 3):
        torch_threads(threads)
        params = {"mu": mu, "sigma": 42.0}
        results.append(estimate_gradient(sum_of_squares, PATHWISE, params, n, chunk_size=chunk_size))
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_the_same_call_gives_the_same_bits_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    assert same(undisturbed(), undisturbed())
    assert torch.get_rng_state().equal(before)


def test_estimates_of_separate_runs_add_up() -> None:
    runs = [estimate_gradient(square, PATHWISE, NORMAL, 10_000, seed=100 * SEED + i)["mu"] for i in range(100)]
    total = reduce(Estimate.merge, runs)
    assert total.n == 1_000_000
    assert abs(total.mean.item() - 24) < SIGMAS * 84 / 1000
    # runs that share draws would spread more, or less, than one run's error
    spread = torch.stack([run.mean for run in runs]).std().item()
    assert abs(spread / 0.84 - 1) < SIGMAS / 200**0.5


def test_another_seed_gives_another_result() -> None:
    results = [estimate_gradient(square, PATHWISE, NORMAL, seed=seed)["mu"].mean.item() for seed in range(50)]
    assert len(set(results)) == 50
    assert estimate_gradient(square, PATHWISE, NORMAL)["mu"].mean.item() == results[0]


def test_no_more_than_a_bounded_number_of_tasks_is_under_way() -> None:
    most = []
    for n in (400, 800):
        executor = OneAtATime()
        estimate_gradient(square, PATHWISE, NORMAL, n, chunk_size=2, executor=executor)
        assert executor.submitted == n // 2
        most.append(executor.most)
    assert most[0] == most[1] <= 100


def test_an_error_in_a_chunk_surfaces_and_stops_the_rest() -> None:
    calls = []

    def fails(z: Tensor) -> Tensor:
        calls.append(len(z))
        if len(calls) == 3:
            raise ZeroDivisionError("the third chunk")
        return z**2

    executor = OneAtATime()
    with pytest.raises(ZeroDivisionError, match="the third chunk"):
        estimate_gradient(fails, PATHWISE, NORMAL, 10_000, chunk_size=10, executor=executor)
    assert len(calls) == 3
    assert all(future.cancelled() for future, _ in executor.waiting)


# what goes wrong is said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator_and_params", [(PATHWISE, NORMAL), (ScoreFunction(td.Normal), {"loc": 12.0, "scale": 42.0})]
)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_f_that_is_not_finite_for_some_samples_is_an_error(
    estimator_and_params: tuple[Estimator, dict[str, float]], bad: float
) -> None:
    # through `where`, the gradient of a bad sample is a silent 0
    f = lambda z: torch.where(z > 0, z, bad)  # noqa: E731
    with pytest.raises(ValueError, match=r"\d+ of 1000 samples"):
        estimate_gradient(f, *estimator_and_params, 1000)


def test_a_gradient_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'mu' must be finite, got \d+ of 1000 samples"):
        estimate_gradient(lambda z: torch.sqrt(z * (z > 0)), PATHWISE, NORMAL, 1000)


# compare --------------------------------------------------------------------------------------------------------------


def test_compare_prints_its_columns() -> None:
    estimates = {
        "mu": Estimate(f64(24.1312), f64(2.6561**2 * 10), 10),
        "weights": Estimate(f64([1.0, -2.0]), f64([0.5**2, 0.25**2]) * 10, 10),
        "zero": Estimate(f64(0.0), f64(0.0), 10),
        "one": Estimate(f64(1.0), f64(0.0), 10),
    }
    assert compare(estimates, {"mu": 24, "weights": [0.5, -1.0], "zero": 84.0, "one": 1}).splitlines() == [
        "            estimate ± standard error  expected",
        "mu                       24.13 ± 2.66        24  z = +0.05",
        "weights[0]              1.000 ± 0.500       0.5  z = +1.00",
        "weights[1]             -2.000 ± 0.250        -1  z = -4.00",
        "zero                            0 ± 0        84  DIFFERS",
        "one                             1 ± 0         1  equal",
    ]


def test_one_exact_number_serves_all_elements() -> None:
    estimates = {"w": Estimate(f64([1.0, 2.0]), f64([1.0, 1.0]), 4)}
    assert compare(estimates, {"w": 1.0}) == compare(estimates, {"w": torch.tensor([1.0, 1.0])})


@pytest.mark.parametrize(
    ("exact", "message"),
    [
        ({}, r"expected must have the names \['mu'\], got \[\]"),
        ({"mu": 1.0, "nu": 1.0}, r"expected must have the names \['mu'\], got \['mu', 'nu'\]"),
        ({"mu": [1.0, 2.0]}, r"expected\['mu'\] must be .*\(\), got shape \(2,\)"),
        ({"mu": float("nan")}, r"expected.* must be finite, got .*nan"),
        ({"mu": float("inf")}, r"expected.* must be finite, got .*inf"),
        ({"mu": "24"}, r"expected.* must be .*24"),
    ],
)
def test_compare_refuses_what_does_not_fit(exact: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        compare({"mu": Estimate(f64(1.0), f64(1.0), 4)}, exact)


def test_compare_refuses_what_is_no_estimate() -> None:
    with pytest.raises(TypeError, match=r"estimates.*'mu'.* must be an Estimate, got 3.0"):
        compare({"mu": 3.0}, {"mu": 3.0})  # type: ignore[dict-item]
