"""HTTP in front of a :class:`support.world.World`: the gateway, with the world's calls as its only worker."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import trio

from sft.calls.requests import Ask, Reply, Request
from sft.config import Config
from sft.config.tables import ServerConfig
from sft.model import WorkerLoad
from sft.plugin.manager import PluginManager
from sft.server.gateway import Gateway, Response
from support.wire import message
from support.world import World
from support.world_client import ClientEnd, WorldClient

Json: TypeAlias = dict[str, Any]


class Door:
    """Clients of the world that come through here do so with messages, as over HTTP."""

    index = 0

    def __init__(self, world: World, **tables: Any) -> None:
        """``tables``: of the configuration, by name."""
        config = Config(**{"server": ServerConfig(url=world.context.settings.url), **tables})
        manager = PluginManager.load(config)
        self.world = world
        self.gateway = Gateway(manager.configure(config), manager, [self])

    async def handle(self, request: Request) -> Reply:
        """What a worker does."""
        await trio.lowlevel.checkpoint()
        if isinstance(request, Ask):
            return WorkerLoad(worker=0, free_ports=10)
        return self.world.calls.handle(request, self.world.now)

    async def post(self, client: WorldClient, body: Json) -> Response:
        """``POST /sft/<call>``; a new offer becomes the client's newest connection."""
        response = await self.gateway.post(client.call, json.dumps(body).encode(), client.host)
        reply = json.loads(response.body) if response.json else {}
        if reply.get("type") in ("SETUP", "UPDATE"):
            client.ends.append(ClientEnd(client, len(client.ends), reply["sdp"]))
        return response

    async def answer(self, client: WorldClient, sdp: str) -> Response:
        """The client's SETUP with its answer."""
        body = message("SETUP", client.call, client.id.user, resp=True, sdp=sdp, props={})
        return await self.post(client, body)
