/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _Request Request;

/* @request: (transfer full), until it is answered. */
typedef void (*RouteHandler) (Request *request);

typedef enum
{
  ROUTE_PLAIN      = 0,
  ROUTE_TAKES_BODY = 1 << 0,
  ROUTE_PUBLIC     = 1 << 1,    /* takes no token */
  ROUTE_ADMIN      = 1 << 2,    /* reaches further than a project: files and sockets of the host */
  ROUTE_MENDS      = 1 << 3,    /* changes something, and may while the journal is damaged */
} RouteFlags;

typedef struct
{
  const char  *method;
  const char  *pattern;         /* each {} stands for one segment of the path */
  RouteHandler handler;
  RouteFlags   flags;
  const char  *query[3];        /* the keys that may stand behind the ?; any, in Nova's dialect */
} Route;

/* Handlers, by file. */
void guests_list         (Request *request);
void guests_attach       (Request *request);
void guest_show          (Request *request);
void guest_detach        (Request *request);
void guest_disks         (Request *request);
void guest_resume        (Request *request);
void snapshots_list      (Request *request);
void snapshots_take      (Request *request);
void snapshot_delete     (Request *request);
void snapshot_revert     (Request *request);
void disk_commit         (Request *request);
void disk_stream         (Request *request);
void disk_mirror         (Request *request);
void guest_shorten       (Request *request);
void guest_restore       (Request *request);
void tree_show           (Request *request);
void tree_adopt          (Request *request);
void guest_image_take    (Request *request);
void operations_list     (Request *request);
void operation_show      (Request *request);
void operation_change    (Request *request);
void operation_cancel    (Request *request);
void images_list         (Request *request);
void image_show          (Request *request);
void image_delete        (Request *request);
void health_show         (Request *request);
void reload_settings     (Request *request);
void journal_rebuild     (Request *request);
void nova_versions_list  (Request *request);
void nova_version_show   (Request *request);
void nova_servers_list   (Request *request);
void nova_servers_detail (Request *request);
void nova_server_show    (Request *request);
void nova_server_act     (Request *request);
void nova_actions_list   (Request *request);
void nova_action_show    (Request *request);

/* Finds the route, and what stands in place of its {}. NULL when there is none: with @allow the
 * methods that the path has, with @error AGENT_ERROR_INVALID, or with neither for an unknown
 * path. */
const Route *route_find (const char *method, const char *path, char ***names, char **allow,
                         GError **error);

/* Whether @route may have @query. */
gboolean     route_check_query (const Route *route, GHashTable *query,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
