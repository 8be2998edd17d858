"""Argument checks for the whole package, whose errors name the argument, its value, and what is allowed."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

Number = float | int | Tensor


def integer(name: str, value: object, minimum: int) -> int:
    """`value` as an int of at least `minimum`; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {value!r}")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {number}")
    return number


def instance(name: str, value: object, kinds: Any, words: str) -> None:
    """Raise TypeError unless `value` is an instance of `kinds`; `words` describes them."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {words}, got {value!r}")


def shape(name: str, value: object) -> tuple[int, ...]:
    """`value` as a tuple of non-negative ints; TypeError or ValueError otherwise."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a tuple of ints, got {value!r}")
    return tuple(integer(name, size, 0) for size in value)


def tensors(**values: Number) -> list[Tensor]:
    """The arguments as finite floating-point tensors of one dtype and device.

    Numbers take the dtype and device of the tensors among the arguments, or torch's default if there are none. Raises
    TypeError unless each argument is a real number or a floating-point tensor, and ValueError for NaN, infinity, an
    empty tensor, or tensors on different devices.
    """
    given = [value for value in values.values() if isinstance(value, Tensor)]
    for name, value in values.items():
        if isinstance(value, Tensor):
            if not value.is_floating_point():
                raise TypeError(f"{name} must be a floating-point tensor, got {value.dtype}")
        elif isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number or a tensor, got {value!r}")
    devices = {tensor.device for tensor in given}
    if len(devices) > 1:
        raise ValueError(f"{', '.join(values)} must be on one device, got {sorted(map(str, devices))}")
    dtype = torch.get_default_dtype() if not given else given[0].dtype
    for tensor in given[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    result = [
        torch.as_tensor(value, dtype=dtype, device=given[0].device if given else None) for value in values.values()
    ]
    largest = torch.finfo(dtype).max
    for name, tensor in zip(values, result, strict=True):
        if isinstance(values[name], Tensor) or not -largest <= values[name] <= largest:
            within(name, tensor, -math.inf, math.inf, "finite")
    return result


def number(name: str, value: Number) -> float:
    """`value` as a float; TypeError or ValueError unless it is one finite real number."""
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)  # not rounded to torch's default dtype
    (tensor,) = tensors(**{name: value})
    if tensor.dim() > 0:
        raise ValueError(f"{name} must be one number, got shape {tuple(tensor.shape)}: {value}")
    return tensor.item()


def broadcast(shapes: Mapping[str, torch.Size]) -> torch.Size:
    """The shape to which these broadcast; ValueError, which names each of them, if they do not."""
    sizes = list(shapes.values())
    if sizes and all(size == sizes[0] for size in sizes):
        return sizes[0]  # torch would take 50 µs to find this
    try:
        return torch.broadcast_shapes(*sizes)
    except RuntimeError:
        given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"parameters must broadcast together, got {given}") from None


def distinct(tensor: Tensor) -> Tensor:
    """A single copy along each expanded axis; the copies share memory (stride 0), so checking one is enough."""
    return tensor[tuple(slice(1) if stride == 0 else slice(None) for stride in tensor.stride())]


def within(name: str, tensor: Tensor, low: float, high: float, allowed: str) -> None:
    """Raise ValueError unless low < every element < high; `allowed` describes this in words."""
    if tensor.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(tensor.shape)}")
    values = distinct(tensor.detach())
    if values.numel() == 1:  # without a reduction, which takes as long as all the rest
        smallest = largest = values.item()
    else:
        smallest, largest = (bound.item() for bound in torch.aminmax(values))
    if not (low < smallest and largest < high):
        found = largest if low < smallest else smallest
        raise ValueError(f"{name} must be {allowed}, got {found:.6g}")


def positive(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless every element is > 0."""
    within(name, tensor, 0.0, math.inf, "> 0")


def distribution(name: str, probs: Tensor) -> None:
    """Raise ValueError unless the last axis holds probabilities > 0 that sum to 1."""
    if probs.dim() == 0:
        raise ValueError(f"{name} must have a last axis of probabilities, got the number {probs.item():.6g}")
    positive(name, probs)
    total = distinct(probs.detach()).to(torch.promote_types(probs.dtype, torch.float32)).sum(-1)
    worst = total.flatten()[(total - 1).abs().argmax()].item()
    if abs(worst - 1) > max(1e-4, torch.finfo(probs.dtype).eps / 2):
        raise ValueError(f"{name} must sum to 1 along the last axis, got a sum of {worst:.6g}")


def probability(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless every element is in [0, 1]."""
    within(name, tensor, math.nextafter(0, -1), math.nextafter(1, 2), "in [0, 1]")


def temperature(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless every element is > 0 and the last axis, that of the classes, has length 1."""
    positive(name, tensor)
    if tensor.dim() > 0 and tensor.shape[-1] != 1:
        raise ValueError(f"{name} must have a last axis of 1, got shape {tuple(tensor.shape)}")


def classes(name: str, logits: Tensor) -> None:
    """Raise ValueError unless the last axis holds two or more classes."""
    if logits.dim() == 0 or logits.shape[-1] < 2:
        raise ValueError(f"{name} must have two or more classes on the last axis, got shape {tuple(logits.shape)}")


def same_names(name: str, value: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise TypeError or ValueError unless `value` is a mapping with the keys of `expected`."""
    instance(name, value, Mapping, "a mapping of names to values")
    if set(value) != set(expected):
        raise ValueError(f"{name} must have the names {sorted(expected)}, got {sorted(value)}")
