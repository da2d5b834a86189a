"""x402's reference server (PyPI `x402`, FastAPI) for `Benchmarks x402`, with a facilitator in memory that believes every payment: what
its own code does to take one, at its best. Prints one JSON object when it is ready."""

import asyncio
import json
import logging
import socket

import uvicorn
from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact.register import register_exact_evm_server
from x402.schemas import SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

NETWORK = "eip155:84532"
PAYEE = "0x" + "23" * 20


class Believer:
    """Checks no signature, asks no chain."""

    def get_supported(self):
        return SupportedResponse(
            kinds=[SupportedKind(x402_version=2, scheme="exact", network=NETWORK)], extensions=[], signers={}
        )

    async def verify(self, payload, requirements):
        return VerifyResponse(is_valid=True, payer=PAYEE)

    async def settle(self, payload, requirements):
        return SettleResponse(success=True, transaction="0x" + "00" * 32, network=NETWORK, payer=PAYEE)


def main():
    logging.disable(logging.CRITICAL)
    server = x402ResourceServer(Believer())
    register_exact_evm_server(server, NETWORK)
    app = FastAPI()
    routes = {"GET /paid": {"accepts": {"scheme": "exact", "payTo": PAYEE, "price": "$0.01", "network": NETWORK}}}
    app.middleware("http")(payment_middleware(routes, server))

    @app.get("/paid")
    async def paid():
        return {"city": "Bern", "celsius": 21, "sky": "clear"}

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    runner = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, http="httptools", loop="uvloop"))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    asyncio.run(runner.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
