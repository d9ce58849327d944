"""Options for filters: one for each parameter that any filter of this installation has."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

_OUTPUT: Final = ("format", "quality", "metadata", "colour", "max_bytes", "raw")
#: Options that a filter's parameter has the name of.
_NAMED: Final = {"colour": "output_colour"}
FilterSteps = list[dict[str, Any]]
_CONVERT: Final = {"name": "convert"}


class FilterCommand(click.Command):
    """A command with the options ``--filter`` and its parameters, ``--step``, and those of the output.

    Its function gets ``steps`` and ``output`` as the API takes them. Without a filter ``steps`` is empty, or
    just converts if there is an ``output``.
    """

    output_options = True
    preset_option = True

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        # Made only when needed: the registry takes 50 ms to load, and other commands do not need it.
        if not any(param.name == "filter" for param in self.params):
            output = _output_options() if self.output_options else ()
            presets = [_preset_option()] if self.preset_option else []
            self.params[:0] = [*_filter_options(), *presets, *_parameter_options(), *output]
        return super().get_params(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        given = ctx.params
        names = [param.name for param in self.params if isinstance(param, _FilterParameter)]
        values = {str(name): given.pop(str(name)) for name in names}
        params = {name: value for name, value in values.items() if value is not None}
        params |= given.pop("param")
        given["output"] = {
            name: value for name in _OUTPUT if (value := given.pop(f"output_{name}", None)) is not None
        }
        steps = _steps(given.pop("filter"), params, given.pop("step"))
        if not steps and given["output"]:
            steps = [_CONVERT]
        given["steps"] = [{**step, **_files(step)} for step in steps]
        name = given.pop("preset", None)
        if name is not None:
            given["steps"], given["output"] = self._with_preset(name, given["steps"], given["output"])
        return super().invoke(ctx)

    def _with_preset(
        self, name: str, steps: FilterSteps, output: dict[str, Any]
    ) -> tuple[FilterSteps, dict[str, Any]]:
        """Return a preset's steps, and its output with what is given beside it. Raises UsageError."""
        from dpip.command.saved_presets import saved_preset

        if steps and steps != [_CONVERT]:
            raise click.UsageError("Give either a --preset, or filters of your own.")
        preset = saved_preset(name)
        if preset.output and not self.output_options:
            click.echo(
                f"The preset's output ({', '.join(preset.output)}) is for pictures, not for films.", err=True
            )
            return preset.steps, output
        return preset.steps, {**preset.output, **output}


def checked(
    steps: FilterSteps, output: Mapping[str, Any], known_here: bool
) -> tuple[FilterSteps, dict[str, Any]]:
    """Check ``steps`` and ``output``; returns them with their defaults. Raises UsageError.

    Unless the filters are ``known_here``, ``steps`` stay unchecked: the server may have others.
    """
    from dpip.errors import BadParameter, UnknownFilter
    from dpip.filters import registry

    try:
        if known_here:
            steps = [{"name": name, **params} for name, params in registry.validate_steps(steps)]
        return steps, registry.validate_output(output)
    except (BadParameter, UnknownFilter) as error:
        raise click.UsageError(str(error)) from error


class _FilterParameter(click.Option):
    """An option for a parameter of one or several filters."""


def _steps(names: Sequence[str], params: Mapping[str, Any], chain: Sequence[dict[str, Any]]) -> FilterSteps:
    if names and chain:
        raise click.UsageError("Give either --filter, or a --step for each filter of a chain.")
    if params and not names:
        options = ", ".join(map(_option, params))
        raise click.UsageError(
            f"{options}: a parameter goes with a --filter; of a step it stands within it, as in "
            "--step blur:sigma=3."
        )
    if len(names) == 1:
        return [{"name": names[0], **params}]
    steps = [{"name": name} for name in names] or [*chain]
    for param, value in params.items():
        steps[_owner(param, names)][param] = value
    return steps


def _owner(param: str, names: Sequence[str]) -> int:
    """Return the place of the only filter that has the parameter. Raises UsageError."""
    owners = [place for place, name in enumerate(names) if param in _parameters(name)]
    if len(owners) != 1:
        which = "Several of the filters have" if owners else "None of the filters has"
        raise click.UsageError(
            f"{which} {_option(param)}. Give each filter as a step, with its parameters: --step blur:sigma=3."
        )
    return owners[0]


def _parameters(name: str) -> dict[str, Any]:
    """Return the parameters of a filter by name; none for one that only a server has."""
    from dpip.errors import UnknownFilter
    from dpip.filters import registry

    try:
        return {parameter.name: parameter for parameter in registry.find(name).parameters}
    except UnknownFilter:
        return {}


def _option(param: str) -> str:
    return f"--{param.replace('_', '-')}"


def _files(step: Mapping[str, Any]) -> dict[str, str]:
    """Return the content of the files that the step's parameters name, in base64. Raises UsageError."""
    pictures = [name for name, p in _parameters(step["name"]).items() if p.type == "picture" and name in step]
    return {name: _encoded(Path(step[name]), _option(name)) for name in pictures}


def _encoded(path: Path, option: str) -> str:
    from dpip.filters.schema import MAX_PICTURE_BYTES

    try:
        data = path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{option}: {path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_PICTURE_BYTES:
        raise click.UsageError(
            f"{option}: {path} has {len(data):,} bytes, and at most {MAX_PICTURE_BYTES:,} go with each job. "
            f"dpip run {path} -o small --format webp --max-bytes 16K makes a smaller one."
        )
    return b64encode(data).decode()


def _filter_options() -> Iterator[click.Option]:
    yield click.Option(
        ["--filter", "-f"],
        metavar="NAME",
        multiple=True,
        shell_complete=_complete_filter,
        help="What to do with the pictures; 'dpip filters' lists what there is, 'dpip filters blur' the "
        "options of one. Several are a chain.",
    )
    yield click.Option(
        ["--step"],
        metavar="NAME:P=V,…",
        multiple=True,
        type=_Step(),
        shell_complete=_complete_filter,
        help="One filter of a chain, with its parameters; may be given several times.",
    )
    yield click.Option(
        ["--param", "-p"],
        metavar="NAME=VALUE",
        multiple=True,
        callback=lambda _context, _param, given: dict(given),
        type=_Pair(),
        help="A parameter of a filter that only the server has.",
    )


def _preset_option() -> click.Option:
    return click.Option(
        ["--preset"],
        metavar="NAME",
        shell_complete=_complete_preset,
        help="Filters and output that 'dpip preset save' has kept under this name.",
    )


def _parameter_options() -> Iterator[click.Option]:
    """Make one option for all parameters with the same name; its help says what each filter takes."""
    from dpip.filters import registry

    users: dict[str, list[tuple[str, Any]]] = {}
    for name in registry.names():
        for parameter in registry.find(name).parameters:
            users.setdefault(parameter.name, []).append((name, parameter))
    for name, each in users.items():
        described = " ".join(f"{_who_have(filters)} {words}" for words, filters in _by_words(each).items())
        yield _FilterParameter([_option(name), name], metavar=_kind(each[0][1]), help=described)


def _by_words(users: Sequence[tuple[str, Any]]) -> dict[str, list[str]]:
    """Group filters by what their help says of a parameter."""
    found: dict[str, list[str]] = {}
    for filter, parameter in users:
        words = in_words(parameter.allowed(), parameter.default, parameter.description)
        found.setdefault(words, []).append(filter)
    return found


def _who_have(filters: Sequence[str]) -> str:
    return f"({', '.join(filters)})"


def _kind(parameter: Any) -> str:
    return {"boolean": "true|false", "picture": "FILE"}.get(parameter.type, "VALUE")


def in_words(allowed: str, default: object, description: str) -> str:
    """Describe a parameter to people: what it is for, what it may be, and its default."""
    told = f"{allowed}; default: {shown_value(default)}" if default is not None else allowed
    return f"{description} [{told}]"


def shown_value(value: object) -> str:
    """Format a parameter's value as it is typed on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _output_options() -> Iterator[click.Option]:
    from dpip.filters.output import OPTIONS

    for option in OPTIONS:
        metavar = "|".join(option.choices).lower() if option.choices else "VALUE"
        yield click.Option(
            [_option(_NAMED.get(option.name, option.name)), f"output_{option.name}"],
            metavar="SIZE" if option.name == "max_bytes" else metavar,
            callback=_size if option.name == "max_bytes" else None,
            help=option.description,
        )


def _size(_context: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Return ``200K`` as a number of bytes. Raises BadParameter."""
    from dpip.runtime.options import size

    try:
        return None if text is None else size(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


class _Pair(click.ParamType[Any]):
    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, found, text = str(value).partition("=")
        if not found or not name:
            self.fail(f"{value!r} is not of the form name=value.", param, ctx)
        return name.strip().replace("-", "_"), text.strip()


class _Step(_Pair):
    name = "step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, dict):
            return value
        name, _, rest = str(value).partition(":")
        pairs = [super(_Step, self).convert(pair, param, ctx) for pair in rest.split(",") if pair]
        return {"name": name.strip(), **dict(pairs)}


def _complete_preset(_context: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    from dpip.command.saved_presets import saved_presets

    return [name for name in saved_presets() if name.startswith(begun)]


def _complete_filter(_context: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    from dpip.filters import registry

    return [name for name in registry.names() if name.startswith(begun)]
