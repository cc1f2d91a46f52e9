//! Pipeline, configuration and metrics of the node agent.
