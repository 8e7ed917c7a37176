from mcp.server.fastmcp import FastMCP

server = FastMCP("shop", log_level="ERROR")


@server.tool()
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


server.run()
