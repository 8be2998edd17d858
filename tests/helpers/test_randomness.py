"""helpers.randomness: seeds, independent streams, uniforms inside ]0, 1[, and torch.distributions under a generator."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

from helpers import SEED, randomness
from tests.support.statistical import agrees, generator, has_law

DTYPES = [torch.float32, torch.float64]
third = torch.tensor(1 / 3)
DISTRIBUTIONS = {
    "Normal": td.Normal(third, 2.0),
    "Bernoulli": td.Bernoulli(third),
    "Categorical": td.Categorical(torch.tensor([0.2, 0.3, 0.5])),
    "OneHotCategorical": td.OneHotCategorical(torch.tensor([0.2, 0.3, 0.5])),
    "Exponential": td.Exponential(third),
    "Gamma": td.Gamma(third, 2.0),
    "Beta": td.Beta(third, 2.0),
    "Dirichlet": td.Dirichlet(torch.tensor([1.0, 2.0, 3.0])),
    "Poisson": td.Poisson(torch.tensor(3.0)),
    "Binomial": td.Binomial(10, third),
    "NegativeBinomial": td.NegativeBinomial(5.0, third),
    "Geometric": td.Geometric(third),
    "Laplace": td.Laplace(third, 2.0),
    "Cauchy": td.Cauchy(third, 2.0),
    "Gumbel": td.Gumbel(third, 2.0),
    "Uniform": td.Uniform(third, 2.0),
    "Weibull": td.Weibull(third, 2.0),
    "StudentT": td.StudentT(torch.tensor(5.0)),
    "VonMises": td.VonMises(third, torch.tensor(2.0)),
    "MultivariateNormal": td.MultivariateNormal(torch.zeros(2), torch.eye(2)),
}


def test_the_seed_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert randomness._book_seed() == SEED
    monkeypatch.setenv("BOOK_SEED", "12")
    assert randomness._book_seed() == 12
    monkeypatch.delenv("BOOK_SEED")
    assert randomness._book_seed() == 0


@pytest.mark.parametrize("text", ["", "-1", "1.5", "seven", " "])
def test_a_seed_that_is_no_count_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BOOK_SEED", text)
    with pytest.raises(ValueError, match=f"BOOK_SEED must be .*{text!r}"):
        randomness._book_seed()


def test_the_same_stream_gives_the_same_numbers() -> None:
    first, second = (torch.rand(100, generator=randomness.generator_of(SEED, 3)) for _ in range(2))
    assert first.equal(second)


@pytest.mark.parametrize(("one", "other"), [((SEED, 0), (SEED, 1)), ((SEED, 5), (SEED + 1, 5)), ((0, 1), (1, 0))])
def test_different_streams_are_uncorrelated(one: tuple[int, int], other: tuple[int, int]) -> None:
    a, b = (
        torch.randn(500_000, generator=randomness.generator_of(*stream), dtype=torch.float64) for stream in (one, other)
    )
    agrees(1 + a * b, 1.0)
    agrees(1 + a[1:] * b[:-1], 1.0)


def test_no_two_streams_of_a_run_share_their_numbers() -> None:
    # torch's CPU generator keeps the low 32 bits of a seed
    starts = {randomness.generator_of(SEED, stream).initial_seed() % 2**32 for stream in range(20_000)}
    assert len(starts) == 20_000


def test_a_stream_beyond_the_last_seed_starts_again_at_zero() -> None:
    assert 0 <= randomness.generator_of(0, 2**32 - 1).initial_seed() < 2**32


@pytest.mark.parametrize("dtype", DTYPES)
def test_open_uniform_is_uniform(dtype: torch.dtype) -> None:
    u = randomness.open_uniform((200_000,), torch.ones(1, dtype=dtype), generator())
    assert u.dtype == dtype
    has_law(u, stats.uniform.cdf)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lowest", [True, False])
def test_open_uniform_stays_inside_the_interval(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, lowest: bool
) -> None:
    drawn = torch.tensor(0.0 if lowest else 1 - torch.finfo(dtype).eps / 2, dtype=dtype)
    assert drawn < 1
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: drawn.clone())
    u = randomness.open_uniform((), drawn, None)
    assert 0 < u < 1
    assert u.log().isfinite()
    assert torch.log1p(-u).isfinite()
    assert u.log() < 0


def test_open_uniform_moves_a_draw_by_half_a_step_at_most() -> None:
    like = torch.ones((), dtype=torch.float64)
    moved = randomness.open_uniform((1000,), like, generator()) - torch.rand(
        1000, dtype=like.dtype, generator=generator()
    )
    assert moved.abs().max() <= 2**-53


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_drawing_from_a_generator_leaves_the_global_one_alone(name: str) -> None:
    before = torch.get_rng_state()
    with randomness.drawing_from(generator(1)):
        first = DISTRIBUTIONS[name].sample((50,))
    assert torch.get_rng_state().equal(before)
    torch.rand(3)
    with randomness.drawing_from(generator(1)):
        assert DISTRIBUTIONS[name].sample((50,)).equal(first)
    with randomness.drawing_from(generator(2)):
        assert not DISTRIBUTIONS[name].sample((50,)).equal(first)


@pytest.mark.parametrize("draw", [lambda: torch.rand(3), lambda: torch.randn(3), lambda: torch.randperm(50)])
def test_drawing_from_none_uses_the_global_generator(draw: Callable[[], Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        expected = draw()
        torch.manual_seed(SEED)
        with randomness.drawing_from(None):
            assert draw().equal(expected)


def test_drawing_from_gives_what_the_generator_gives() -> None:
    with randomness.drawing_from(generator()):
        drawn = torch.rand(5)
    assert drawn.equal(torch.rand(5, generator=generator()))
    assert math.isfinite(drawn.sum().item())
