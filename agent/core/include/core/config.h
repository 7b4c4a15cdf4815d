/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The daemon's settings: data/qsnapd.conf explains each key. Plain data that does not change once
 * it is read; settings.h knows which ones hold now. */

/* No chain that is kept short may be allowed to have more layers. */
#define CHAIN_LONGEST 200

typedef struct
{
  char      *id;                /* (nullable): the name in [guest NAME], "pinned" by who wrote it */
  char      *monitor;           /* absolute path of a Unix socket, or HOST:PORT */
  char      *agent;             /* (nullable): the guest agent's Unix socket */
  char      *uuid;              /* (nullable): the guest must have this one */
  char      *overlay_folder;    /* (nullable): where overlays over block devices go */
  gboolean   allow_format_change;       /* a raw disk may become a qcow2 */
  gint       max_chain_length;  /* layers; 0: any number; -1: as the daemon's */
  GHashTable *image_refs;       /* disk name, or "*" -> id of the image that its base came from */
} GuestConfig;

GuestConfig *guest_config_new  (void);
GuestConfig *guest_config_copy (const GuestConfig *self);
void         guest_config_free (GuestConfig *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestConfig, guest_config_free)

typedef struct
{
  char      *state_folder;      /* [daemon] state: the journal's folder */
  guint      transfers;         /* [daemon] transfers: how many uploads at once */
  guint      max_chain_length;  /* [daemon] max-chain-length: layers; 0: any number */
  char      *storage_daemon;    /* [daemon] storage-daemon: the program that reads frozen chains */
  char      *log_level;         /* [daemon] log: error, warning, info or debug */
  char     **scan_folders;      /* [daemon] scan-folders: where others' images may stand on ours */
  guint64    reserve;           /* [daemon] reserve: bytes that stay free on each file system; 0:
                                 * room is not looked at */
  guint      wait_for_room_s;   /* [daemon] wait-for-room: then what waits for room is cancelled */

  char      *socket;            /* [rest] socket */
  char      *socket_group;      /* [rest] group (nullable) */
  char      *listen;            /* [rest] listen: HOST:PORT (nullable) */
  char      *token_file;        /* [rest] token-file (nullable; must be there when listen is) */

  char      *store;             /* [store] kind: "folder" or "glance" */
  char      *store_folder;      /* [store] folder */
  char      *glance_url;        /* [glance] url (nullable when there is a cloud) */
  char      *glance_cloud;      /* [glance] cloud: an entry of clouds.yaml (nullable) */
  char      *glance_clouds_file;        /* [glance] clouds-file (nullable: where it usually is) */
  char      *glance_token_file; /* [glance] token-file (nullable: no auth) */
  char      *glance_ca_file;    /* [glance] ca-file (nullable) */
  guint      glance_timeout_s;  /* [glance] timeout: seconds without progress */
  guint      glance_deadline_s; /* [glance] deadline: of one image's transfer */

  char      *quiesce;           /* [snapshot] quiesce: none, try or require */
  guint      freeze_timeout_ms; /* [snapshot] freeze-timeout */
  guint      thaw_after_ms;     /* [snapshot] thaw-after: thawed then whatever happens */
  char      *parents;           /* [snapshot] parents: upload, require or ignore */
  char      *image_format;      /* [snapshot] image-format: qcow2 or raw */
  guint      converge_deadline_s;       /* [snapshot] converge-deadline */
  char      *on_deadline;       /* [snapshot] on-deadline: stop, throttle or leave */

  char     **watch;             /* [watch] sockets: folders or glob patterns */
  GPtrArray *guests;            /* of GuestConfig, from [guest NAME] */
} Config;

/* @path: (nullable): no file, defaults only. @overrides: (nullable): "group.key=value" each. */
Config *config_load  (const char *path, const char *const *overrides, GError **error)
                      G_GNUC_WARN_UNUSED_RESULT;
Config *config_ref   (const Config *self);
void    config_unref (Config *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Config, config_unref)

/* What another reading has brought: see config-change.c. The lists are of "group.key". */
char   **config_list_changes (const Config *before, const Config *after);
char   **config_keep_fixed   (Config *after, const Config *before);
gboolean guest_config_equal  (const GuestConfig *a, const GuestConfig *b);

G_END_DECLS
