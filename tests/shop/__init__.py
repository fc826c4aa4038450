"""A second application, of somebody who sells things: it shows that the runtime knows no business."""
