"""How well a simulation matches what was observed: the goodness-of-fit measures and what each one means.

Every measure takes ``(simulated, observed)`` and treats the two in the same way:

- values are paired by position; a pair with NaN on either side is left out;
- shapes that differ, more than one dimension, infinite values, two pandas or xarray objects
  with different indexes, or no pair at all are mistakes of the call: :class:`~hmp_core.errors.InvalidInput`;
- where the formula has no value (no variance, a mean of zero, too few pairs) the answer is NaN.

`METRICS` says for each measure its unit, its range, its best value and which direction is better, so
that runs can be ranked and plots labelled without knowing the formulas.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from hmp_catalog.pairing import pairs
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from hmp_catalog.pairing import FloatArray


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator) / float(denominator) if denominator != 0 else math.nan


def _deviations(values: FloatArray) -> FloatArray:
    # The rounded mean of a constant need not be that constant: its deviations would be noise, not zero.
    centre = values[0] if values.min() == values.max() else values.mean()
    deviations: FloatArray = values - centre
    return deviations


def nse(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the Nash-Sutcliffe efficiency: 1 is perfect, 0 no better than the observed mean.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        In ]-inf, 1], without unit. NaN if the observed values do not vary.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: NSE = 1 - \frac{\sum (s_i - o_i)^2}{\sum (o_i - \bar o)^2}

    References
    ----------
    Nash, J. E. & Sutcliffe, J. V. (1970), J. Hydrol. 10, 282-290, doi:10.1016/0022-1694(70)90255-6.

    Examples
    --------
    >>> nse([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    0.5
    """
    s, o = pairs(simulated, observed)
    return 1.0 - _ratio(((s - o) ** 2).sum(), (_deviations(o) ** 2).sum())


def log_nse(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the Nash-Sutcliffe efficiency of the logarithms, which weighs low flows.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit, not negative; pairs with NaN are left out.

    Returns
    -------
    float
        In ]-inf, 1], without unit. NaN if the observed values do not vary, or if a value has no logarithm
        (a negative discharge, a level below its datum).

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    `nse` of :math:`\ln(s_i + \varepsilon)` and :math:`\ln(o_i + \varepsilon)`. The constant
    :math:`\varepsilon = \bar o / 100` keeps days without flow.

    References
    ----------
    Pushpalatha, R. et al. (2012), J. Hydrol. 420-421, 171-182, doi:10.1016/j.jhydrol.2011.11.055.

    Examples
    --------
    >>> log_nse([1.0, 10.0, 100.0], [1.0, 10.0, 100.0])
    1.0
    """
    import numpy as np

    s, o = pairs(simulated, observed)
    epsilon = o.mean() / 100.0
    if min(s.min(), o.min()) + epsilon <= 0:
        return math.nan
    return nse(np.log(s + epsilon), np.log(o + epsilon))


def kge(simulated: ArrayLike, observed: ArrayLike, method: Literal["2009", "2012"] = "2009") -> float:
    r"""Return the Kling-Gupta efficiency: correlation, variability and bias in one figure.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.
    method : {"2009", "2012"}
        Variability as the ratio of standard deviations (Gupta et al. 2009) or of coefficients of
        variation, which a bias does not touch (Kling et al. 2012).

    Returns
    -------
    float
        In ]-inf, 1], without unit; about -0.41 for the observed mean (Knoben et al. 2019). NaN if either
        side does not vary or the mean of the observed (2012: of either side) is zero.

    Raises
    ------
    InvalidInput
        An unknown `method`; see also `pairs`.

    Notes
    -----
    .. math:: KGE = 1 - \sqrt{(r - 1)^2 + (\alpha - 1)^2 + (\beta - 1)^2}

    with the correlation :math:`r`, :math:`\beta = \mu_s / \mu_o` and
    :math:`\alpha = \sigma_s / \sigma_o` (2009) or
    :math:`\alpha = (\sigma_s / \mu_s) / (\sigma_o / \mu_o)` (2012).

    References
    ----------
    Gupta, H. V. et al. (2009), J. Hydrol. 377, 80-91, doi:10.1016/j.jhydrol.2009.08.003.
    Kling, H. et al. (2012), J. Hydrol. 424-425, 264-277, doi:10.1016/j.jhydrol.2012.01.011.

    Examples
    --------
    >>> round(kge([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 4)  # r = 1, alpha = beta = 2
    -0.4142
    >>> round(kge([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], method="2012"), 4)  # the bias counts once
    0.0
    """
    if method not in ("2009", "2012"):
        message = f"unknown Kling-Gupta method {method!r}: expected '2009' or '2012'"
        raise InvalidInput(message)
    s, o = pairs(simulated, observed)
    beta = _ratio(s.mean(), o.mean())
    alpha = _ratio(_spread(s), _spread(o))
    if method == "2012":
        alpha = _ratio(alpha, beta)
    return 1.0 - math.sqrt((_correlation(s, o) - 1.0) ** 2 + (alpha - 1.0) ** 2 + (beta - 1.0) ** 2)


def _spread(values: FloatArray) -> float:
    return math.sqrt((_deviations(values) ** 2).mean())


def _correlation(s: FloatArray, o: FloatArray) -> float:
    ds, do = _deviations(s), _deviations(o)
    r = _ratio((ds * do).sum(), math.sqrt((ds**2).sum()) * math.sqrt((do**2).sum()))
    return r if math.isnan(r) else max(-1.0, min(1.0, r))


def r2(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the square of Pearson's correlation: timing and shape, blind to bias and to scale.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        In [0, 1], without unit. NaN if either side does not vary.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: R^2 = \frac{\left(\sum (s_i - \bar s)(o_i - \bar o)\right)^2}
                         {\sum (s_i - \bar s)^2 \sum (o_i - \bar o)^2}

    The coefficient of determination of the pair, :math:`1 - SSE/SST`, is `nse`.

    References
    ----------
    Moriasi, D. N. et al. (2007), Trans. ASABE 50, 885-900, doi:10.13031/2013.23153.

    Examples
    --------
    >>> round(r2([10.0, 20.0, 30.0], [1.0, 2.0, 3.0]), 6)
    1.0
    """
    return _correlation(*pairs(simulated, observed)) ** 2


def mse(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the mean squared error.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        In [0, inf[, in the square of the unit of the values.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: MSE = \frac{1}{n} \sum (s_i - o_i)^2

    References
    ----------
    Moriasi, D. N. et al. (2007), Trans. ASABE 50, 885-900, doi:10.13031/2013.23153.

    Examples
    --------
    >>> mse([1.0, 5.0], [1.0, 3.0])
    2.0
    """
    s, o = pairs(simulated, observed)
    return float(((s - o) ** 2).mean())


def rmse(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the root mean squared error.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        In [0, inf[, in the unit of the values.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: RMSE = \sqrt{\frac{1}{n} \sum (s_i - o_i)^2}

    References
    ----------
    Moriasi, D. N. et al. (2007), Trans. ASABE 50, 885-900, doi:10.13031/2013.23153.

    Examples
    --------
    >>> round(rmse([4.0, 8.0], [1.0, 4.0]), 4)
    3.5355
    """
    return math.sqrt(mse(simulated, observed))


def mae(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the mean absolute error.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        In [0, inf[, in the unit of the values.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: MAE = \frac{1}{n} \sum |s_i - o_i|

    References
    ----------
    Willmott, C. J. & Matsuura, K. (2005), Clim. Res. 30, 79-82, doi:10.3354/cr030079.

    Examples
    --------
    >>> mae([0.0, 5.0], [1.0, 3.0])
    1.5
    """
    s, o = pairs(simulated, observed)
    return float(abs(s - o).mean())


def bias(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the mean error: positive where the simulation is too high.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        Any sign, zero is best, in the unit of the values.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: ME = \frac{1}{n} \sum (s_i - o_i)

    References
    ----------
    Willmott, C. J. & Matsuura, K. (2005), Clim. Res. 30, 79-82, doi:10.3354/cr030079.

    Examples
    --------
    >>> bias([2.0, 5.0], [1.0, 3.0])
    1.5
    """
    s, o = pairs(simulated, observed)
    return float((s - o).mean())


def pbias(simulated: ArrayLike, observed: ArrayLike) -> float:
    r"""Return the volume error in per cent: positive where the simulation is too high.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.

    Returns
    -------
    float
        Any sign, zero is best, in per cent of the observed volume. NaN if the observed sum is zero.

    Raises
    ------
    InvalidInput
        See `pairs`.

    Notes
    -----
    .. math:: PBIAS = 100 \, \frac{\sum (s_i - o_i)}{\sum o_i}

    The sign agrees with `bias`. Gupta et al. (1999) and Moriasi et al. (2007) write observed minus
    simulated: their figure has the other sign.

    References
    ----------
    Gupta, H. V. et al. (1999), J. Hydrol. Eng. 4, 135-143, doi:10.1061/(ASCE)1084-0699(1999)4:2(135).

    Examples
    --------
    >>> pbias([3.0, 3.0], [1.0, 3.0])
    50.0
    """
    s, o = pairs(simulated, observed)
    return 100.0 * _ratio((s - o).sum(), o.sum())


@dataclass(frozen=True, slots=True)
class Metric:
    """What a measure means: enough to rank runs by it and to label an axis."""

    name: str
    function: Callable[[ArrayLike, ArrayLike], float]
    _: KW_ONLY
    #: "1" (none), "%", "same" as the values, or the "square" of their unit.
    unit_rule: Literal["1", "%", "same", "square"]
    #: True: greater is better; False: smaller is better; None: closest to `best` is better.
    higher_is_better: bool | None
    description: str
    reference: str
    #: Bounds of what the formula can give; None where there is none.
    physical_min: float | None = None
    physical_max: float | None = None
    best: float = 0.0

    def unit(self, variable_unit: str) -> str:
        """Return the unit of the measure (UDUNITS) for values in `variable_unit`.

        Examples
        --------
        >>> METRICS["rmse"].unit("m3 s-1"), METRICS["mse"].unit("m"), METRICS["nse"].unit("m")
        ('m3 s-1', '(m)^2', '1')
        """
        if self.unit_rule == "same":
            return variable_unit
        return f"({variable_unit})^2" if self.unit_rule == "square" else self.unit_rule


_MORIASI = "Moriasi et al. (2007), Trans. ASABE 50, 885-900"
_WILLMOTT = "Willmott & Matsuura (2005), Clim. Res. 30, 79-82"
_ROWS = (
    Metric(
        "nse",
        nse,
        unit_rule="1",
        higher_is_better=True,
        physical_max=1.0,
        best=1.0,
        description="Nash-Sutcliffe efficiency: 1 minus squared error over observed variance",
        reference="Nash & Sutcliffe (1970), J. Hydrol. 10, 282-290",
    ),
    Metric(
        "log_nse",
        log_nse,
        unit_rule="1",
        higher_is_better=True,
        physical_max=1.0,
        best=1.0,
        description="Nash-Sutcliffe efficiency of logarithms: weighs low flows",
        reference="Pushpalatha et al. (2012), J. Hydrol. 420-421, 171-182",
    ),
    Metric(
        "kge",
        kge,
        unit_rule="1",
        higher_is_better=True,
        physical_max=1.0,
        best=1.0,
        description="Kling-Gupta efficiency: correlation, ratio of standard deviations, ratio of means",
        reference="Gupta et al. (2009), J. Hydrol. 377, 80-91",
    ),
    Metric(
        "r2",
        r2,
        unit_rule="1",
        higher_is_better=True,
        physical_min=0.0,
        physical_max=1.0,
        best=1.0,
        description="square of Pearson's correlation",
        reference=_MORIASI,
    ),
    Metric(
        "rmse",
        rmse,
        unit_rule="same",
        higher_is_better=False,
        physical_min=0.0,
        description="root mean squared error",
        reference=_MORIASI,
    ),
    Metric(
        "mse",
        mse,
        unit_rule="square",
        higher_is_better=False,
        physical_min=0.0,
        description="mean squared error",
        reference=_MORIASI,
    ),
    Metric(
        "mae",
        mae,
        unit_rule="same",
        higher_is_better=False,
        physical_min=0.0,
        description="mean absolute error",
        reference=_WILLMOTT,
    ),
    Metric(
        "bias",
        bias,
        unit_rule="same",
        higher_is_better=None,
        description="mean of simulated minus observed",
        reference=_WILLMOTT,
    ),
    Metric(
        "pbias",
        pbias,
        unit_rule="%",
        higher_is_better=None,
        description="sum of simulated minus observed, in per cent of the observed sum",
        reference="Gupta et al. (1999), J. Hydrol. Eng. 4, 135-143 (with the other sign)",
    ),
)

#: Every measure by its name.
METRICS: Mapping[str, Metric] = MappingProxyType({row.name: row for row in _ROWS})


def evaluate(simulated: ArrayLike, observed: ArrayLike, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return several measures of one simulation at once.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit; pairs with NaN are left out.
    names : iterable of str, optional
        Names in `METRICS`; all of them by default.

    Returns
    -------
    dict of str to float
        In the order of `names`. NaN where a measure is not defined for these values.

    Raises
    ------
    InvalidInput
        An unknown name; see also `pairs`.

    Examples
    --------
    >>> evaluate([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], names=["nse", "rmse", "bias"])
    {'nse': -0.5, 'rmse': 1.0, 'bias': 1.0}
    """
    wanted = list(METRICS) if names is None else [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            message = f"unknown metric {name!r}: expected any of {', '.join(METRICS)}{hint}"
            raise InvalidInput(message)
    s, o = pairs(simulated, observed)
    return {name: METRICS[name].function(s, o) for name in wanted}
