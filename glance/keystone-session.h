/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/keystone.h>

#include "http.h"

/* A token, and all that Keystone said with it. Not changed once it is made; counted references. */
typedef struct
{
  char       *token;
  GlanceUser *user;
  gint64      renew_us;         /* monotonic: better have another by then */
  gint64      end_us;           /* monotonic: refused from then on */
  GPtrArray  *endpoints;        /* of KeystoneEndpoint: those of the image service */
  char       *services;         /* all that the catalogue has, for people */
} KeystoneSession;

/* @asked_us: monotonic, when it was asked for. */
KeystoneSession *keystone_session_new   (const HttpAnswer *answer, gint64 asked_us, GError **error)
                                         G_GNUC_WARN_UNUSED_RESULT;
KeystoneSession *keystone_session_ref   (KeystoneSession *self);
void             keystone_session_unref (KeystoneSession *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (KeystoneSession, keystone_session_unref)

/* @region: (nullable): wherever it is, if that is one place. */
char            *keystone_session_find_image (const KeystoneSession *self, const char *region,
                                              const char *interface, GError **error)
                                              G_GNUC_WARN_UNUSED_RESULT;

/* Whose the token is that @answer is about; @left_us: how long it still is. */
GlanceUser      *keystone_session_parse_user (const HttpAnswer *answer, gint64 *left_us,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
