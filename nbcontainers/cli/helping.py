"""``help``, ``--help`` and ``-h``: what commands there are, how each is used, and examples of what people do with it.

``-h`` is ``--help`` where a command has no use of its own for it, as ``run`` and ``create`` have.
"""

import shlex

import click

_COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info")
# Examples of commands, without the word before them; a command's path is as docker's short one: no ``container``.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "run --rm host echo hello",
        "run -d --name web -p 8080:80 -m 256m nginx",
        "run -it --rm -v data:/data debian:12 bash",
    ),
    "create": ("create --name web -p 8080:80 nginx", "create -h db.local --restart unless-stopped postgres"),
    "start": ("start web db", "start -a web"),
    "stop": ("stop web", "stop -t 30 web db"),
    "restart": ("restart -t 5 web",),
    "kill": ("kill web", "kill -s HUP web"),
    "rm": ("rm web", "rm -fv web db"),
    "wait": ("wait web",),
    "pause": ("pause web",),
    "unpause": ("unpause web",),
    "rename": ("rename web shop",),
    "exec": ("exec web ls -l /etc", "exec -it web sh", "exec -u root -e DEBUG=1 web env"),
    "attach": ("attach web", "attach --no-stdin --sig-proxy=false web"),
    "ps": ("ps", "ps -aq", "ps --filter status=exited --format '{{.Names}} {{.Status}}'"),
    "logs": ("logs -f --tail 20 web", "logs --since 10m -t web"),
    "stats": ("stats", "stats --no-stream web"),
    "top": ("top web", "top web -o pid,comm"),
    "cp": ("cp web:/etc/nginx/nginx.conf .", "cp page.html web:/srv/"),
    "diff": ("diff web",),
    "commit": ("commit -m 'with a page' web web:2",),
    "port": ("port web", "port web 80/tcp"),
    "update": ("update -m 512m --cpus 1.5 web", "update --restart unless-stopped web"),
    "inspect": ("inspect web", "inspect --format '{{.State.Status}}' web"),
    "events": ("events --since 1h", "events --follow --filter type=container"),
    "images": ("images", "images -q --filter dangling=true"),
    "rmi": ("rmi web:1",),
    "tag": ("tag web:1 localhost:5000/web:1",),
    "pull": ("pull debian:12",),
    "push": ("push localhost:5000/web:1",),
    "build": ("build -t web:1 .", "build --target test --build-arg VERSION=2 ."),
    "system prune": ("system prune", "system prune -a --volumes"),
    "system df": ("system df", "system df -v"),
    "volume create": ("volume create data",),
    "network create": ("network create shop", "network create --internal --subnet 10.9.0.0/24 backend"),
    "network connect": ("network connect --alias db shop postgres",),
}


class HelpfulCommand(click.Command):
    """A command whose help ends with examples."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        face, *path = ctx.command_path.split()
        lines = EXAMPLES.get(" ".join(path)) or EXAMPLES.get(" ".join(path[1:]))
        if lines:
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"  {face} {line}\n")


class HelpfulGroup(click.Group):
    """A group of commands with examples; the outermost one's are shown by what they are for."""

    command_class = HelpfulCommand
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands: first those that everybody needs, then the groups, then all others."""
        if ctx.parent is not None:
            return super().format_commands(ctx, formatter)
        groups = [name for name, command in sorted(self.commands.items()) if isinstance(command, click.Group)]
        others = [name for name in sorted(self.commands) if name not in (*groups, *_COMMON)]
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, names in (("Common commands", _COMMON), ("Groups of commands", groups), ("Commands", others)):
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit)) for name in names])
        formatter.write_paragraph()
        formatter.write_text(f"'{ctx.command_path} help COMMAND' says more of a command, with examples.")
        return None


def help_of(words: tuple[str, ...], context: click.Context) -> str:
    """Return the help of a command.

    Args:
        words: Its path; none for that of all commands.
        context: Of the outermost command.

    Raises:
        click.ClickException: There is none; the words are docker's.
    """
    command = context.command
    for word in words:
        found = command.commands.get(word) if isinstance(command, click.Group) else None
        if found is None:
            raise click.ClickException(f"unknown help topic: {shlex.join(words)}")
        command, context = found, click.Context(found, parent=context, info_name=word, **found.context_settings)
    return command.get_help(context)
