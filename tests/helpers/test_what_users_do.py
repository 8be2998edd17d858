"""What readers' own problems brought to light: wrong numbers that were silent, and inputs refused for no reason."""

import itertools
import resource
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from helpers import Estimate, compare, estimate_gradient, policies, reparametrize
from helpers.estimators import (
    REBAR,
    STL,
    VIMCO,
    ControlVariate,
    DisARM,
    ImportanceWeighted,
    LeaveOneOut,
    LocalExpectation,
    MeasureValued,
    Pathwise,
    QuasiMonteCarlo,
    ScoreFunction,
    quadratic,
)
from helpers.estimators.families import numbers_of_sample
from helpers.implicit import rsample
from helpers.randomness import standard_gumbel
from helpers.reparametrize import Reparametrization, normal
from helpers.validate import distribution
from tests.helpers.test_contract import CASES
from tests.support.statistical import generator, square, sum_of_squares

STANDARD = {"loc": 0.0, "scale": 1.0}


# Digits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (LeaveOneOut(td.Normal, 4), {"loc": 0.3, "scale": 1.0}),
        (MeasureValued(td.Normal), {"loc": 0.3, "scale": 1.0}),
        (DisARM(), {"logits": torch.tensor([0.5, -0.5])}),
        (LocalExpectation(), {"logits": torch.tensor([0.5, -0.5, 0.0])}),
    ],
)
def test_digits_of_f_beyond_those_of_the_parameters_count(estimator: Any, params: dict[str, Any]) -> None:
    own = lambda z: z.double().reshape(len(z), -1) @ torch.linspace(1, 2, z[0].numel(), dtype=torch.float64)  # noqa: E731
    found = estimator(lambda z: 1e9 + own(z), params, 200, generator())
    expected = estimator(own, params, 200, generator())
    for name in params:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_values_of_f_keep_their_digits_under_half_precision() -> None:
    logits = torch.zeros(3, dtype=torch.bfloat16)
    f = lambda y: 5 + 0.01 * (y.float() @ torch.arange(3.0))  # noqa: E731
    found = estimate_gradient(f, LocalExpectation(), {"logits": logits}, 100)["logits"].mean
    torch.testing.assert_close(found, torch.tensor([-1, 0, 1]).double() / 300, rtol=0.01, atol=1e-6)


def concrete(temperature: float, logits: Tensor) -> td.Distribution:
    return td.RelaxedBernoulli(torch.tensor(temperature), logits=logits)


@pytest.mark.parametrize(
    "estimator_of", [ScoreFunction, LeaveOneOut, partial(ImportanceWeighted, k=2), STL, partial(VIMCO, k=2)]
)
def test_a_transform_that_rounds_its_samples_is_refused(estimator_of: Callable[..., Any]) -> None:
    params = {"logits": torch.tensor([0.3, 1.0])}
    steep = estimator_of(partial(concrete, 0.1))
    with pytest.raises(ValueError, match="samples of RelaxedBernoulli must keep the digits that its density needs"):
        steep(sum_of_squares, params, 50, generator())
    assert estimator_of(partial(concrete, 1.0))(sum_of_squares, params, 50, generator())


def test_a_transform_that_remembers_its_input_is_seen_through() -> None:
    tanh = lambda loc: td.TransformedDistribution(td.Normal(loc, 3.0), [td.TanhTransform(cache_size=1)])  # noqa: E731
    with pytest.raises(ValueError, match="samples of TransformedDistribution must keep the digits"):
        ScoreFunction(tanh)(square, {"loc": 1.0}, 50, generator())


@pytest.mark.parametrize(
    ("family", "params"),
    [
        (td.Kumaraswamy, {"concentration1": torch.tensor(0.5), "concentration0": torch.tensor(0.5)}),
        (td.LogisticNormal, {"loc": torch.tensor([0.2, -0.3]), "scale": torch.tensor([4.0, 4.0])}),
    ],
)
def test_classes_whose_samples_saturate_in_float32(family: Any, params: dict[str, Tensor]) -> None:
    f = lambda z: z.reshape(len(z), -1)[:, 0]  # noqa: E731
    score = estimate_gradient(f, ScoreFunction(family), params, 400_000, seed=1)
    path = estimate_gradient(f, Pathwise(family), {name: p.double() for name, p in params.items()}, 400_000, seed=2)
    for name in params:
        error = torch.hypot(score[name].standard_error, path[name].standard_error)
        assert ((score[name].mean - path[name].mean).abs() < 5 * error).all()


def test_a_factor_next_to_a_tiny_diagonal_keeps_its_digits() -> None:
    params = {
        "loc": torch.zeros(2),
        "cov_factor": torch.ones(2, 1),
        "cov_diag": torch.full((2,), 1e-7),
    }
    ones = estimate_gradient(lambda z: torch.ones(len(z)), ScoreFunction(td.LowRankMultivariateNormal), params, 20_000)
    for estimate in ones.values():
        assert (estimate.mean.abs() < 5 * estimate.standard_error).all()  # the score has mean 0


def test_half_precision_probabilities_are_taken_whatever_their_rounding() -> None:
    for seed in range(300):
        logits = torch.randn(10, generator=torch.Generator().manual_seed(seed))
        for dtype in (torch.float16, torch.bfloat16):
            distribution("probs", logits.softmax(0).to(dtype))
    with pytest.raises(ValueError, match="probs must sum to 1"):
        distribution("probs", torch.tensor([0.5, 0.49], dtype=torch.float16))


def test_a_small_difference_below_float32_is_no_deviation() -> None:
    table = lambda mean, error: compare({"a": Estimate(mean, error**2 * 100, 100)}, {"a": 2.0})  # noqa: E731
    assert table(2 + 1.7e-7, 3.5e-10).endswith("equal")
    assert table(2 + 1e-5, 3.5e-10).endswith("z = +28571.43")
    assert table(2 + 1.7e-6, 1e-6).endswith("z = +1.70")


def test_policies_in_half_precision() -> None:
    assert policies.group_normalized(torch.ones(2, 4).half(), eps=1e-8).eq(0).all()
    with pytest.raises(ValueError, match=r"returns must be at most 6.55e\+04 in torch.float16"):
        policies.returns_to_go(torch.full((100,), 1000.0).half())
    with pytest.raises(ValueError, match=r"k2 must be at most 6.55e\+04 in torch.float16"):
        policies.kl_estimates(torch.zeros(1).half(), torch.tensor([-400.0]).half())


# Random numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator_of", [ScoreFunction, Pathwise, LeaveOneOut, STL])
def test_a_distribution_that_is_drawn_is_refused(estimator_of: Callable[..., Any]) -> None:
    def policy(w: Tensor) -> td.Distribution:
        return td.Normal(nn.functional.dropout(w, 0.5).sum(), 1.0)

    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="policy must give the same distribution at each call"):
        estimator_of(policy)(square, {"w": torch.ones(50)}, 9, generator())
    assert before.equal(torch.get_rng_state())


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_a_draw_that_all_samples_share_is_refused(estimator: Any, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="f must draw for each sample, but all samples share a draw"):
        estimator(lambda z: (1 + sum_of_squares(z)) * torch.rand(()), params, 40, generator())


def test_an_f_that_draws_by_other_means_than_torch_is_not_taken_for_one_that_mixes_samples() -> None:
    source = np.random.default_rng(0)
    for _ in range(1000):
        ScoreFunction(td.Normal)(lambda z: z - torch.from_numpy(source.integers(10, size=len(z))), STANDARD, 16)


def test_an_f_that_draws_for_each_sample_is_never_taken_for_one_that_mixes_them() -> None:
    dropout, data = nn.Dropout(0.5), torch.arange(3.0)
    for seed in range(300):
        torch.manual_seed(seed)
        LeaveOneOut(td.Normal, 4)(dropout, STANDARD, 16)
        ScoreFunction(td.Normal)(lambda z: z - data[torch.randint(3, (len(z),))], STANDARD, 16)


# The path from f to the parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (Pathwise(normal), {"mu": 0.3, "sigma": 1.0}),
        (Pathwise(td.Normal), {"loc": 0.3, "scale": 1.0}),
        (Pathwise(lambda loc: td.Normal(loc, 1.0)), {"loc": 0.3}),
        (ImportanceWeighted(td.Normal, 2), {"loc": 0.3, "scale": 1.0}),
    ],
)
def test_a_graph_that_leads_only_to_weights_of_f_is_no_path(estimator: Any, params: dict[str, Any]) -> None:
    weight = nn.Parameter(torch.tensor(2.0))
    with pytest.raises(ValueError, match=r"f\(z\) carries no graph back to the parameters"):
        estimator(lambda z: weight * (z > 0), params, 9, generator())
    assert estimator(lambda z: weight * z, params, 9, generator())


def test_each_gradient_has_the_dtype_of_its_parameter() -> None:
    params = {"loc": torch.tensor(0.0), "scale": torch.tensor(1.0, dtype=torch.float64)}
    found = Pathwise(td.Normal)(square, params, 9, generator())
    assert {name: g.dtype for name, g in found.items()} == {name: p.dtype for name, p in params.items()}


def test_the_second_derivative_of_expanded_probabilities() -> None:
    def value(probs: Tensor) -> Tensor:
        return (reparametrize.gumbel_softmax(probs, 0.7, generator=generator()) ** 2).sum()

    probs = torch.tensor([0.2, 0.3, 0.5]).expand(2, 3)
    shared, own = (torch.autograd.functional.hessian(value, p) for p in (probs, probs.clone()))
    torch.testing.assert_close(shared, own, rtol=1e-4, atol=1e-5)


def test_a_quadratic_under_inference_mode() -> None:
    with torch.inference_mode():
        _, expected = quadratic(torch.square, torch.tensor(1.0))
    assert expected(1.0, 2.0) == 3
    with pytest.raises(ValueError, match="f must return one number per sample"):
        quadratic(lambda z: z.expand(3, 3), 1.0)


def test_a_direct_call_refuses_what_is_not_finite() -> None:
    steep = lambda mu, generator: torch.sqrt(mu - mu.detach()) + torch.randn(mu.shape, generator=generator)  # noqa: E731
    with pytest.raises(ValueError, match="gradients of 'mu' must be finite, got 9 of 9 samples"):
        Pathwise(steep)(square, {"mu": 1.0}, 9, generator())


# What was refused or failed for no reason ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transforms",
    [
        [td.StickBreakingTransform()],
        [td.ReshapeTransform((2,), (1, 2)), td.ReshapeTransform((1, 2), (2,))],
        [td.IndependentTransform(td.SigmoidTransform(), 1)],
    ],
)
def test_transforms_of_vectors(transforms: list[td.Transform]) -> None:
    def q(loc: Tensor) -> td.Distribution:
        return td.TransformedDistribution(td.Independent(td.Normal(loc, 0.5), 1), transforms)

    params = {"loc": torch.tensor([0.1, 0.2], dtype=torch.float64)}
    f = lambda z: z[:, 0]  # noqa: E731
    score = estimate_gradient(f, ScoreFunction(q), params, 100_000, seed=1)["loc"]
    path = estimate_gradient(f, Pathwise(q), params, 100_000, seed=2)["loc"]
    assert ((score.mean - path.mean).abs() < 5 * torch.hypot(score.standard_error, path.standard_error)).all()


def test_a_parameter_that_moves_the_support_of_an_independent_transform_is_refused() -> None:
    def q(high: Tensor) -> td.Distribution:
        stretch = td.IndependentTransform(td.AffineTransform(0.0, high), 1)
        return td.TransformedDistribution(td.Independent(td.Uniform(torch.zeros(2), torch.ones(2)), 1), stretch)

    with pytest.raises(ValueError, match="support that no parameter moves"):
        ScoreFunction(q)(sum_of_squares, {"high": 2.0}, 9, generator())


class Policy(nn.Module):
    def forward(self, loc: Tensor) -> td.Distribution:
        return td.Normal(loc, 1.0)


@pytest.mark.parametrize("estimator_of", [ScoreFunction, Pathwise, STL])
def test_a_module_may_be_the_distribution(estimator_of: Callable[..., Any]) -> None:
    by_module, by_function = (
        estimator_of(q)(square, {"loc": 1.0}, 9, generator()) for q in (Policy(), lambda loc: td.Normal(loc, 1.0))
    )
    torch.testing.assert_close(by_module, by_function)


def test_a_class_that_forgets_to_say_that_it_has_rsample() -> None:
    q = lambda logits: LogitRelaxedBernoulli(torch.tensor(0.5), logits=logits)  # noqa: E731
    found = Pathwise(q)(lambda z: z, {"logits": 1.0}, 9, generator())["logits"]
    torch.testing.assert_close(found, torch.full((9,), 2.0))  # z = (logits + noise) / temperature
    with pytest.raises(ValueError, match="sampler must have rsample"):
        Pathwise(lambda logits: td.Independent(td.Bernoulli(logits=logits), 0))(square, {"logits": 1.0}, 9)


def test_attention_in_a_policy_says_what_helps() -> None:
    def policy(w: Tensor) -> td.Distribution:
        x = w * torch.ones(1, 1, 4, 8)
        return td.Normal(nn.functional.scaled_dot_product_attention(x, x, x).sum(), 1.0)

    estimator, params = ScoreFunction(policy), {"w": torch.tensor(0.1)}
    with pytest.raises(NotImplementedError, match=r"sdpa_kernel\(SDPBackend.MATH\)"):
        estimator(square, params, 9, generator())
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        assert estimator(square, params, 9, generator())["w"].isfinite().all()


def test_a_sampler_given_by_a_keyword() -> None:
    scale_tril = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    by_keyword, by_position = (
        Pathwise(partial(sampler, scale_tril=scale_tril))(sum_of_squares, {"loc": torch.ones(2)}, 9, generator())
        for sampler in (partial(rsample, distribution=td.MultivariateNormal), partial(rsample, td.MultivariateNormal))
    )
    torch.testing.assert_close(by_keyword, by_position)


def test_a_sampler_is_checked_for_each_shape_of_its_parameters() -> None:
    mixing = lambda mu, generator: mu - mu.mean(0) * (mu.dim() > 1) + torch.randn(mu.shape, generator=generator)  # noqa: E731
    assert Pathwise(mixing)(square, {"mu": 1.0}, 9, generator())
    with pytest.raises(ValueError, match="must compute each sample from its own copy"):
        Pathwise(mixing)(sum_of_squares, {"mu": torch.ones(2)}, 9, generator())


# Arguments, tables, memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ControlVariate(ScoreFunction(td.Normal), square, lambda loc, scale: 0.0, torch.ones(3)),
            r"coefficient must be one number, got shape \(3,\)",
        ),
        (lambda: ScoreFunction(td.Normal, torch.ones(3)), r"baseline must be one number, got shape \(3,\)"),
        (
            lambda: Reparametrization(standard_gumbel, lambda eps, mu: eps, {"rte": print}),
            "domain must name parameters",
        ),
        (
            lambda: Reparametrization(standard_gumbel, lambda: 1),
            "g must be a Python function of eps and its parameters",
        ),
        (lambda: reparametrize.inverse_cdf(torch.pow, 2.0), "g must be a Python function of eps and its parameters"),
        (lambda: f"{Estimate(1.0, 1.0, 9):.3}", "format of an Estimate may set a width and alignment"),
        (
            lambda: Estimate.from_samples(1e-170 * torch.arange(9.0).double()),
            "samples must be 0, or differ by at least",
        ),
    ],
)
def test_bad_input_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_estimate_has_no_graph_and_is_real() -> None:
    mean = torch.ones(2, requires_grad=True)
    merged = Estimate(mean, torch.ones(2), 4).merge(Estimate(mean * 2, torch.ones(2), 4))
    assert not merged.mean.requires_grad
    for make in (lambda: Estimate(1j, 1.0, 4), lambda: Estimate.from_samples(torch.ones(4, dtype=torch.complex64))):
        with pytest.raises(TypeError, match="must be real, got"):
            make()


def test_gumbel_noise_of_one_number() -> None:
    z = Reparametrization(standard_gumbel, lambda eps, mu: mu + eps)(1.0, generator=generator())
    assert z.shape == ()


def test_samplers_have_names_in_messages() -> None:
    assert repr(Pathwise(normal)) == "Pathwise(sampler=normal)"
    assert repr(partial(reparametrize.gumbel_softmax, temperature=0.5).func) == "gumbel_softmax"


def test_a_fitted_coefficient_gets_enough_samples_in_each_chunk() -> None:
    params = {"mu": torch.zeros(32), "sigma": torch.ones(32)}
    inner = QuasiMonteCarlo(Pathwise(normal), 4096)
    estimator = ControlVariate(inner, lambda z: (z**2).sum(-1) / 2, lambda mu, sigma: (mu**2 + sigma**2).sum() / 2)
    found = estimate_gradient(lambda z: z.exp().sum(-1), estimator, params, 200)["sigma"]
    assert found.standard_error.max() < 0.01  # 1.1 with four samples in a chunk


def test_components_of_a_mixture_count_for_a_chunk() -> None:
    centers = torch.arange(2000.0)
    q = lambda width: td.MixtureSameFamily(td.Categorical(logits=torch.zeros(2000)), td.Normal(centers, width))  # noqa: E731
    assert numbers_of_sample(q, {"width": torch.tensor(1.0)}) == 2000


# What the checks above refused for no reason -------------------------------------------------------------------------


def test_a_long_graph() -> None:
    def leapfrog(z: Tensor) -> Tensor:
        x, v = z, torch.zeros_like(z)
        for _ in range(12_000):
            v = v - 0.001 * torch.sin(x)
            x = x + 0.001 * v
        return x

    assert Pathwise(normal)(leapfrog, {"mu": 0.0, "sigma": 1.0}, 4, generator())["mu"].isfinite().all()


@pytest.mark.parametrize("number", [np.float64(1.0), np.float32(1.0), 1])
def test_parameters_may_be_numbers_of_numpy(number: Any) -> None:
    found = Pathwise(normal)(square, {"mu": number, "sigma": 2.0}, 9, generator())
    torch.testing.assert_close(found, Pathwise(normal)(square, {"mu": 1.0, "sigma": 2.0}, 9, generator()))


@pytest.mark.parametrize("logit", [0.0, 6.0, 7.0, 8.0])
@pytest.mark.parametrize("constant", [0.0, 1e4, 1e6])
def test_a_control_in_float64_of_logits_in_float32(logit: float, constant: float) -> None:
    targets = torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64)
    f = lambda y: ((y - targets) ** 2).sum(-1) + constant  # noqa: E731
    for seed in range(10):
        source = torch.Generator().manual_seed(seed)
        assert REBAR(0.5)(f, {"logits": torch.full((3,), logit)}, 200, source)["logits"].isfinite().all()


def drawing_elsewhere(check: Callable[[], None]) -> list[float]:
    """What another thread draws from torch's own generator while `check` runs."""
    seen: list[float] = []
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            seen.append(torch.rand((), dtype=torch.float64).item())

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        check()
    finally:
        stop.set()
        thread.join()
    return seen


def test_checks_leave_the_random_numbers_of_other_threads_alone() -> None:
    def check() -> None:
        for _ in range(300):
            ScoreFunction(lambda loc: td.Normal(loc, 1.0))(square, {"loc": 0.0}, 2, generator())

    seen = drawing_elsewhere(check)
    assert len(set(seen)) == len(seen)


def test_an_f_that_changes_over_time_while_another_thread_draws() -> None:
    calls = itertools.count()
    annealed = lambda z: (1 + next(calls)) * (1 + z**2)  # noqa: E731
    drawing_elsewhere(lambda: [ScoreFunction(td.Normal)(annealed, STANDARD, 50, generator()) for _ in range(100)])


def test_a_few_samples_of_a_draw_for_each() -> None:
    f = lambda z: torch.bernoulli(torch.sigmoid(z))  # noqa: E731
    for seed in range(300):
        torch.manual_seed(seed)
        ScoreFunction(td.Normal)(f, STANDARD, 2)


@pytest.mark.parametrize(("variables", "temperature"), [(16, 0.5), (100, 2 / 3), (1, 0.5)])
def test_many_coordinates_that_are_seldom_rounded(variables: int, temperature: float) -> None:
    q = lambda logits: td.Independent(concrete(temperature, logits), 1)  # noqa: E731
    params = {"logits": torch.full((variables,), 0.3)}
    assert ScoreFunction(q)(sum_of_squares, params, 9, generator())["logits"].isfinite().all()


def test_the_check_of_a_transform_takes_little_memory() -> None:
    params = {"loc": torch.zeros(300_000), "scale": torch.ones(300_000)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ScoreFunction(td.LogNormal)(lambda z: z[:, 0], params, 2, generator())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # kB; 600,000 for a hundred samples


class Silent(td.Distribution):
    """A distribution whose author did not say what its support is."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, loc: Tensor) -> None:
        super().__init__(loc.shape, validate_args=False)
        self.normal = td.Normal(loc, 1.0)

    def sample(self, shape: Any = ()) -> Tensor:
        return self.normal.sample(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.normal.log_prob(value)


def test_a_base_without_support() -> None:
    class Shifted(td.TransformedDistribution):
        def __init__(self, loc: Tensor) -> None:
            super().__init__(Silent(loc), td.AffineTransform(1.0, 2.0), validate_args=False)

    assert ScoreFunction(lambda loc: Shifted(loc))(square, {"loc": 0.0}, 9, generator())["loc"].isfinite().all()


class Rounded(td.Normal):
    has_rsample = False

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        return super().sample(sample_shape).round()


def test_a_class_that_says_that_it_has_no_rsample_is_believed() -> None:
    with pytest.raises(ValueError, match="sampler must have rsample"):
        Pathwise(Rounded)(square, STANDARD, 9, generator())


def test_constants_and_lists_of_tensors() -> None:
    assert Estimate.from_samples(torch.zeros(9)).mean == 0
    estimate = Estimate([torch.tensor(1.0), torch.tensor(2.0)], [1, 2], 9)
    assert estimate.mean.tolist() == [1, 2]


def test_the_shortest_chunk_counts() -> None:
    estimator = ControlVariate(ScoreFunction(td.Normal), lambda z: z, lambda loc, scale: loc)
    assert estimate_gradient(square, estimator, STANDARD, 5, chunk_size=3)
    with pytest.raises(ValueError, match="n, or chunk_size if it is smaller, must be >= 4, got 3"):
        estimate_gradient(square, estimator, STANDARD, 9, chunk_size=3)
